//! Endpoints that have a handshake: those of TCP and IPC.

use crate::escape;
use crate::output::Failure;

pub(crate) enum Transport {
    Tcp,
    Ipc,
}

/// Splits an endpoint into its transport and address. Transports of libzmq without a handshake are an error. `examples`
/// says what to write instead.
pub(crate) fn parse<'e>(endpoint: &'e str, examples: &str) -> Result<(Transport, &'e str), Failure> {
    let shown = escape::text(endpoint);
    let usage = |problem: &str, hint: &str| Err(Failure::usage(format!("{shown}: {problem}")).hint(hint));
    let Some((transport, address)) = endpoint.split_once("://") else {
        return usage("is not an endpoint", examples);
    };
    match transport {
        "tcp" => Ok((Transport::Tcp, address)),
        "ipc" if address.is_empty() || address.contains('\0') => usage("has no path", examples),
        // The longest path that fits into a socket address.
        "ipc" if address.len() > 107 => usage("the path is longer than 107 bytes, the limit for a socket", examples),
        "ipc" => Ok((Transport::Ipc, address)),
        "inproc" => {
            let problem = "inproc:// has no security mechanism and no handshake, and stays within one process";
            usage(problem, examples)
        }
        _ => usage("only tcp:// and ipc:// have a handshake", examples),
    }
}
