//! CPU affinity of asker and handler. By itself, the system sometimes puts both on one core and sometimes on two. On a
//! virtual machine, two cores may be two threads of one core, on which everything takes twice as long until the system
//! moves them.
#![allow(unsafe_code)]

use std::fs;
use std::io;

use anyhow::{Context, Result};
use libc::{CPU_ISSET, CPU_SET, CPU_SETSIZE, cpu_set_t, pid_t};

/// The cores for asker and handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    OneCore,
    TwoCores,
}

impl Placement {
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Placement::OneCore => "one core",
            Placement::TwoCores => "two cores",
        }
    }
}

/// The cores that this thread may run on. Dropping this allows them again.
pub(crate) struct Cores(Vec<usize>);

impl Cores {
    pub(crate) fn here() -> Result<Self> {
        let mut set = none();
        // SAFETY: 0 is the calling thread; the set has the given size.
        let answer = unsafe { libc::sched_getaffinity(0, size_of::<cpu_set_t>(), &mut set) };
        checked(answer)?;
        // SAFETY: the numbers are within the size of a set.
        Ok(Cores((0..CPU_SETSIZE as usize).filter(|&core| unsafe { CPU_ISSET(core, &set) }).collect()))
    }

    /// The placements that there are enough cores for.
    pub(crate) fn placements(&self) -> &'static [Placement] {
        if self.0.len() > 1 { &[Placement::OneCore, Placement::TwoCores] } else { &[Placement::OneCore] }
    }

    /// Confines this thread, and all threads and processes that it starts from now on.
    pub(crate) fn confine(&self, placement: Placement) -> Result<()> {
        let (asker, others) = self.chosen(placement);
        pin(0, &[&[asker], others].concat())
    }

    /// Puts this thread on the asker's core, and all other threads of the process on the handler's.
    pub(crate) fn separate(&self, placement: Placement) -> Result<()> {
        let (asker, others) = self.chosen(placement);
        if others.is_empty() {
            return Ok(());
        }
        for thread in fs::read_dir("/proc/self/task")? {
            let number: pid_t = thread?.file_name().to_str().context("a thread's number")?.parse()?;
            match pin(number, others) {
                // It ended since it was listed.
                Err(error) if is_gone(&error) => {}
                pinned => pinned?,
            }
        }
        pin(0, &[asker])
    }

    /// Moves this thread to a core that neither side uses, if there is one.
    pub(crate) fn use_spare_core(&self) -> Result<()> {
        match &self.0[..] {
            [_, between @ .., _] if !between.is_empty() => pin(0, between),
            all => pin(0, all),
        }
    }

    /// The asker's core, and those of the other threads if they have their own.
    fn chosen(&self, placement: Placement) -> (usize, &[usize]) {
        let (asker, others) = self.0.split_first().expect("a thread runs somewhere");
        match placement {
            Placement::OneCore => (*asker, &[]),
            // The most distant core: neighbours may be two threads of one core.
            Placement::TwoCores => (*asker, &others[others.len().saturating_sub(1)..]),
        }
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        pin(0, &self.0).expect("the cores were allowed before");
    }
}

fn pin(thread: pid_t, cores: &[usize]) -> Result<()> {
    let mut set = none();
    for &core in cores {
        // SAFETY: the number came from a set.
        unsafe { CPU_SET(core, &mut set) };
    }
    // SAFETY: the set has the given size; the number of a thread that has ended is an error.
    checked(unsafe { libc::sched_setaffinity(thread, size_of::<cpu_set_t>(), &set) })
}

fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) == Some(libc::ESRCH)
}

fn none() -> cpu_set_t {
    // SAFETY: a set of bits: all zeros is the empty set.
    unsafe { std::mem::zeroed() }
}

fn checked(answer: i32) -> Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()).context("choosing cores failed") }
}
