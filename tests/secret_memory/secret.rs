//! The C functions, and the system's information about memory.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zmq_auth as _;

unsafe extern "C" {
    fn zmq_auth_secret_allocarray(count: usize, size: usize) -> *mut c_void;
    fn zmq_auth_secret_free(secret: *mut c_void);
    fn zmq_auth_secrets_kept() -> usize;
}

/// Equal to `ZMQ_AUTH_SECRETS_KEPT_AT_MOST`.
pub(crate) const KEPT_AT_MOST: usize = 256;
/// The size of the mark that precedes each secret.
pub(crate) const MARK: usize = 32;
/// The longest secret whose region is kept.
pub(crate) const LONGEST_KEPT: usize = 4096 - 16 - MARK;

/// The kept regions belong to the process, so tests run one at a time. What the previous one left is still kept.
pub(crate) fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn kept() -> usize {
    // SAFETY: it only reads.
    unsafe { zmq_auth_secrets_kept() }
}

/// A secret that is not freed automatically.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Secret {
    pub(crate) address: usize,
    pub(crate) size: usize,
}

impl Secret {
    pub(crate) fn new(size: usize) -> Self {
        Secret::array(1, size).expect("there is memory")
    }

    pub(crate) fn array(count: usize, size: usize) -> Option<Self> {
        // SAFETY: it checks its numbers by itself.
        let pointer = unsafe { zmq_auth_secret_allocarray(count, size) };
        (!pointer.is_null()).then(|| Secret { address: pointer as usize, size: count.wrapping_mul(size) })
    }

    pub(crate) fn free(self) {
        // SAFETY: the pointer came from the function above; to be given back twice is among what is tested.
        unsafe { zmq_auth_secret_free(self.address as *mut c_void) };
    }

    pub(crate) fn fill(self, byte: u8) {
        for offset in 0..self.size {
            self.write(offset as isize, byte);
        }
    }

    pub(crate) fn is_all(self, byte: u8) -> bool {
        (0..self.size).all(|offset| self.read(offset as isize) == byte)
    }

    pub(crate) fn read(self, offset: isize) -> u8 {
        // SAFETY: the tests stay inside the region, which is mapped as long as it is kept; or they mean to end the process.
        unsafe { (self.address as *const u8).offset(offset).read_volatile() }
    }

    pub(crate) fn write(self, offset: isize, byte: u8) {
        // SAFETY: as above.
        unsafe { (self.address as *mut u8).offset(offset).write_volatile(byte) };
    }

    /// Whether its page is readable.
    pub(crate) fn is_mapped(self) -> bool {
        let maps = fs::read_to_string("/proc/self/maps").expect("a process has mappings");
        maps.lines().any(|line| {
            let (range, rest) = line.split_once(' ').expect("a range, then the rest");
            let (from, to) = range.split_once('-').expect("a range");
            let number = |text| usize::from_str_radix(text, 16).expect("a number");
            // An empty secret is just past its region's last byte.
            (number(from)..number(to)).contains(&(self.address - 1)) && rest.starts_with("rw")
        })
    }
}

/// The number of mappings of this process.
pub(crate) fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").expect("a process has mappings").lines().count()
}

/// The error number after a failed allocation.
pub(crate) fn error() -> Option<i32> {
    std::io::Error::last_os_error().raw_os_error()
}
