//! The process that runs gates: their threads, signals, and control.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::SigSet;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use zmq_auth::{Authenticator, Connection, Error, zmq};

use super::control::Control;
use super::journal::{QUEUE, Writer};
use super::relay::{Relay, Settings};
use super::watchdog::{Watched, watch};
use crate::output::{Failure, Output, note};

/// Serves until a signal ends it or one of the gates fails. `reload` runs on SIGHUP.
pub(crate) fn serve(
    policy: &Authenticator,
    gates: &[Settings],
    output: &Output,
    reload: impl Fn() -> Result<(), Error>,
) -> Result<(), Failure> {
    let no_start = |error| Failure::new(format!("cannot start: {error}"));
    raise_descriptors();
    // Now, so that clients can be disconnected even when no descriptor is left.
    Connection::prepare()?;
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(no_start)?;
    let handle = signals.handle();
    // Before the first client, since clients without a mark are refused.
    policy.mark_clients()?;
    let writer = Writer::new(policy.events(QUEUE));
    let context = zmq::Context::new();
    let threads = thread::available_parallelism().map_or(1, usize::from).clamp(1, 4);
    context.set_io_threads(threads as i32).map_err(Error::from)?;
    let _running = policy.start(&context)?;
    let (mut controls, mut relays, mut watched) = (Vec::new(), Vec::new(), Vec::new());
    for settings in gates {
        let (control, woken) = Control::new().map_err(no_start)?;
        let journal = writer.journal(&settings.name);
        let mut relay = Relay::open(&context, policy, settings, woken, journal.clone())?;
        watched.push(Watched::new(control.clone(), relay.take_checker(), journal));
        relays.push(relay);
        controls.push(control);
    }
    // Fails if no service manager listens.
    let _ = sd_notify::notify(&[NotifyState::Ready]);

    let written = writer.ended();
    let (running, ended) = channel::<()>();
    let ended = Mutex::new(ended);
    let (output, told) = (*output, controls.clone());
    // Not in the scope below, which would wait for it: writing to a stalled reader may block for ever.
    thread::spawn(move || {
        let _running = running;
        writer.run(output, &told);
    });
    let last_lines = || {
        written.store(true, Ordering::Release);
        // Ends when the writer does.
        let _ = ended.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LAST_LINES);
    };
    let result = thread::scope(|scope| {
        let (watching, unwatched) = channel::<()>();
        let (last_lines, end) = (&last_lines, EndAll(handle.clone()));
        scope.spawn(move || {
            // Also if it panics: gates aren't served unwatched.
            let _end = end;
            if let Err(failure) = watch(watched, &unwatched) {
                last_lines();
                let _ = failure.report();
                // The gate's thread can't be ended otherwise.
                std::process::exit(1);
            }
        });
        let run = |relay: Relay| {
            let end = EndAll(handle.clone());
            let thread = thread::Builder::new().name("gate".to_owned());
            thread.spawn_scoped(scope, move || {
                let _end = end;
                SigSet::all().thread_block().map_err(|error| no_start(error.into()))?;
                relay.run()
            })
        };
        let threads = relays.into_iter().map(run).collect::<io::Result<Vec<_>>>();
        let threads = threads.map_err(|error| {
            controls.iter().for_each(Control::stop);
            no_start(error)
        })?;
        let mut stops = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                match reload() {
                    Ok(()) => note("the policy was read again"),
                    Err(error) => note(format_args!("{error}; the previous policy is still used")),
                }
                controls.iter().for_each(Control::check);
            } else if std::mem::replace(&mut stops, true) {
                note("ended without forwarding pending messages");
                std::process::exit(1);
            } else {
                let _ = sd_notify::notify(&[NotifyState::Stopping]);
                controls.iter().for_each(Control::stop);
            }
        }
        controls.iter().for_each(Control::stop);
        let gone = || Err(Failure::new("a gate's thread has panicked"));
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| gone())).collect();
        drop(watching);
        results.into_iter().collect()
    });
    last_lines();
    result
}

/// How long to wait for the last lines after the gates have ended.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Ends all gates when the thread of one, or the thread that watches them, ends, whatever the reason.
struct EndAll(Handle);

impl Drop for EndAll {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Raises the limit on descriptors to what the system allows. Each client takes one, and the usual 1,024 is historical.
fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        note(format_args!("no more than {soft} descriptors: {error}"));
    }
}
