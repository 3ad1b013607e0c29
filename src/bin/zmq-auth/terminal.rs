//! Restoring the terminal's echo, however a password prompt ends.

use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};

use crate::file;

/// The exit code that shells report for a program ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// The terminal and its settings before the current prompt.
static BEFORE_PROMPT: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Shows a prompt that turns the echo off. A signal that ends the program meanwhile restores it.
pub(crate) fn with_echo_restored<T>(prompt: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // Fails for a second prompt, when the handler is already set. It also handles signals that were ignored before:
    // restoring the echo matters more.
    let _ = ctrlc::set_handler(|| {
        restore(&mut before_prompt());
        file::exit_after_change(INTERRUPTED)
    });
    // Without a terminal, the prompt fails by itself.
    let terminal = File::open("/dev/tty").ok();
    *before_prompt() = terminal.and_then(|terminal| tcgetattr(&terminal).ok().map(|settings| (terminal, settings)));
    let result = prompt();
    *before_prompt() = None;
    // Ctrl-C may come as a key instead of a signal.
    match result {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => file::exit_after_change(INTERRUPTED),
        other => other,
    }
}

fn before_prompt() -> MutexGuard<'static, Option<(File, Termios)>> {
    BEFORE_PROMPT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn restore(before_prompt: &mut Option<(File, Termios)>) {
    if let Some((terminal, settings)) = before_prompt.take() {
        // If the terminal is gone, nothing can be done.
        let _ = tcsetattr(&terminal, SetArg::TCSANOW, &settings);
    }
}
