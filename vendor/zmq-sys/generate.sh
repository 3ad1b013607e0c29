#!/bin/sh
# Writes src/ffi.rs from libzmq's header.
#
#   usage: vendor/zmq-sys/generate.sh [path/to/zmq.h]
#
# Without a path it takes the header of the zeromq-src in Cargo.lock, the one that the build compiles.
# Needs bindgen 0.73 (cargo install bindgen-cli --version 0.73.2) and libclang (Debian: libclang-dev).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
header=${1:-$(
    cargo metadata --format-version 1 --manifest-path "$here/../../Cargo.toml" |
        sed -n 's|.*"manifest_path":"\([^"]*/zeromq-src-[^"]*\)/Cargo.toml".*|\1/vendor/include/zmq.h|p'
)}

# zmq_fd_t is `int` or, on Windows, a SOCKET: the generated type would be that of the machine that generates.
# Layout tests are left out for the same reason: they hold on 64 bits only.
bindgen "$header" \
    --output "$here/src/ffi.rs" \
    --rust-edition 2024 \
    --rust-target 1.85 \
    --allowlist-file '.*/zmq\.h' \
    --blocklist-type zmq_fd_t \
    --raw-line 'use crate::RawFd as zmq_fd_t;' \
    --with-derive-custom-struct 'zmq_pollitem_t=Debug,Clone,Copy' \
    --with-derive-default \
    --no-layout-tests \
    --no-doc-comments
rustfmt --edition 2024 "$here/src/ffi.rs"
