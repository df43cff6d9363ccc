//! Which of the two ways a suite signs people in: the same stories are told in both.

use serde_json::{Value, json};

/// Who brings requests for the login routes to coatcheck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A route of Envoy, as in `envoy/envoy.yaml`.
    Routed,
    /// Nobody: Check answers them, as in `envoy/in-band.yaml`.
    InBand,
}

impl Mode {
    /// The shipped configuration of Envoy.
    pub fn envoy(self) -> &'static str {
        match self {
            Self::Routed => "envoy.yaml",
            Self::InBand => "in-band.yaml",
        }
    }

    /// Sets it for every app of a configuration of coatcheck that says nothing else.
    pub fn choose(self, config: &mut Value) {
        let Self::InBand = self else { return };
        for app in config["apps"].as_array_mut().expect("apps") {
            if app["login"].is_null() {
                app["login"] = json!({});
            }
            let login = app["login"].as_object_mut().expect("login is a section");
            login.entry("mode").or_insert("in_band".into());
        }
    }
}
