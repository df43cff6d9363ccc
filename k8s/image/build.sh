#!/bin/sh
# Builds the coatcheck of the container image: one static file that needs nothing of the system below it. The Dockerfile runs this, and so
# does the test of the image (tests/k8s/image.py). Needs the Rust of rust-toolchain.toml, a C compiler, and glibc 2.34 or later, which
# resolves host names in static programs too.
#
#   k8s/image/build.sh OUTPUT
set -eu

output=${1:?usage: k8s/image/build.sh OUTPUT}
cd "$(dirname "$0")/../.."
# Naming the target keeps the flag away from build scripts and procedural macros, which cannot be static.
target=$(rustc -vV | sed -n 's/^host: //p')
# Line tables are stripped, symbol names stay: a panic still says where it was.
RUSTFLAGS="-C target-feature=+crt-static" CARGO_PROFILE_RELEASE_STRIP=debuginfo \
  cargo build --locked --release --bin coatcheck --target "$target"
cp "${CARGO_TARGET_DIR:-target}/$target/release/coatcheck" "$output"
