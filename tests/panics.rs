//! A panic in the log. A binary of its own: the hook is the process's.

use std::io::Write;
use std::sync::{Arc, Mutex};

use coatcheck::config::TelemetryConfig;
use coatcheck::telemetry::Telemetry;
use coatcheck::telemetry::logs::{Style, tell_panics};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().map_err(|_| std::io::ErrorKind::Other)?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_panic_is_logged_with_its_place_but_without_the_value_at_hand() {
    let config = TelemetryConfig {
        log_format: None,
        log_level: "info".to_owned(),
        otlp_endpoint: None,
        service_name: "coatcheck".to_owned(),
    };
    let lines = Lines::default();
    let writer = lines.clone();
    let (_telemetry, dispatch) = Telemetry::build(&config, &|_| None, Style::Json, move || writer.clone()).unwrap();
    let _guard = tracing::dispatcher::set_default(&dispatch);
    tell_panics();
    let cookie = "canary-\u{fc}-cookie".to_owned();
    std::panic::catch_unwind(|| cookie.split_at(8).0.len()).unwrap_err();
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(line["fields"]["message"].as_str().unwrap().starts_with("panicked at "), "{text}");
    assert!(!text.contains("canary"), "{text}");
}
