//! A planted leak: a comparison that ends at an unknown user, another length, or the first differing byte.

use std::collections::HashMap;
use std::hint::black_box;

use crate::requests::Request;

/// Users and passwords.
pub(crate) struct Planted(HashMap<Vec<u8>, Vec<u8>>);

impl Planted {
    pub(crate) fn new(passwords: impl Iterator<Item = (String, String)>) -> Self {
        Planted(passwords.map(|(user, password)| (user.into_bytes(), password.into_bytes())).collect())
    }

    /// Returns whether the request's password is the user's.
    pub(crate) fn decide(&self, request: &Request) -> bool {
        let [.., user, password] = request.as_slice() else { return false };
        let Some(stored) = self.0.get(user) else { return false };
        if stored.len() != password.len() {
            return false;
        }
        for (stored, given) in stored.iter().zip(password) {
            if black_box(stored) != given {
                return false;
            }
        }
        true
    }
}
