//! What is not wanted costs one comparison: nothing below the asked level is even looked at. A binary of its own: the
//! level is the process's.

use coatcheck::config::TelemetryConfig;
use coatcheck::telemetry::Telemetry;
use coatcheck::telemetry::logs::Style;
use tracing::Level;
use tracing::level_filters::LevelFilter;

#[test]
fn at_info_no_debug_or_trace_event_is_looked_at_with_traces_or_without() {
    for endpoint in [None, Some("http://127.0.0.1:1".to_owned())] {
        for (asked, expected) in [("info", LevelFilter::INFO), ("debug", LevelFilter::DEBUG)] {
            let config = TelemetryConfig {
                log_format: None,
                log_level: asked.to_owned(),
                otlp_endpoint: endpoint.clone(),
                service_name: "coatcheck".to_owned(),
            };
            let (telemetry, dispatch) = Telemetry::build(&config, &|_| None, Style::Json, std::io::sink).unwrap();
            let guard = tracing::dispatcher::set_default(&dispatch);
            assert_eq!(LevelFilter::current(), expected, "{endpoint:?}");
            assert!(!tracing::enabled!(target: "h2::codec", Level::TRACE));
            assert!(tracing::enabled!(target: "coatcheck::app", Level::INFO));
            drop((guard, dispatch));
            telemetry.shutdown();
        }
    }
}
