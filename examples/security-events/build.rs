//! Makes Rust of the events' definition, without a `protoc` on the machine.

fn main() -> anyhow::Result<()> {
    let definition = "proto/network_security.proto";
    println!("cargo:rerun-if-changed={definition}");
    prost_build::Config::new().compile_fds(protox::compile([definition], ["proto"])?)?;
    Ok(())
}
