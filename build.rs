//! Compiles `proto/` with protox, a protobuf compiler in Rust: no system `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = ["proto/coatcheck/session/v1/session.proto"];
    for proto in protos {
        println!("cargo::rerun-if-changed={proto}");
    }
    let descriptors = protox::compile(protos, ["proto"])?;
    let mut config = prost_build::Config::new();
    // The generated types hold tokens: none of them may be printed.
    config.skip_debug(["."]);
    config.compile_fds(descriptors)?;
    Ok(())
}
