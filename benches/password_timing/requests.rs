//! Tables of users, and classes of requests about them.

use zmq_auth::Authenticator;
use zmq_auth_benches::random::SplitMix64;

/// What is wrong with a request. All guesses have the same length, which isn't a secret from whoever makes them.
pub(crate) const CLASSES: [&str; 5] = [
    "wrong password, the stored one is as long",
    "wrong password, all but the last byte right",
    "wrong password, the stored one is shorter",
    "unknown user",
    "right password of another domain",
];
const ALMOST: usize = 1;
const SHORTER: usize = 2;
const UNKNOWN: usize = 3;
const OTHER_DOMAIN: usize = 4;
/// The number of shares of the existing users. Each class of them asks only about its own share, and equally often, so
/// that previous requests warm the caches for all classes alike.
const SHARES: usize = CLASSES.len() - 1;

/// The frames of a request, from the version on.
pub(crate) type Request = Vec<Vec<u8>>;

/// A table of users.
pub(crate) struct Table {
    pub(crate) users: usize,
    /// It is rebuilt after this many batches: few enough that almost no user is asked about twice, or compared in place
    /// of an unknown one while another class asks about that user.
    pub(crate) batches: usize,
}

impl Table {
    pub(crate) fn policy(&self) -> Authenticator {
        let auth = Authenticator::new();
        auth.configure_plain("shop", self.entries()).expect("a table");
        // The same users with other passwords.
        auth.configure_plain("bank", (0..self.users).map(|n| (user(n), password(n + self.users)))).expect("a table");
        auth
    }

    /// Names and passwords.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (String, String)> {
        let stored = |n| if share_of(n) == share(SHORTER) { "shorter".to_owned() } else { password(n) };
        (0..self.users).map(move |n| (user(n), stored(n)))
    }

    /// A request of the class, about one of its users.
    pub(crate) fn request(&self, class: usize, numbers: &mut SplitMix64) -> Request {
        let mut n = numbers.below(self.users);
        while share_of(n) != share(class) {
            n = numbers.below(self.users);
        }
        let name = user(if class == UNKNOWN { n + self.users } else { n });
        let mut guess = password(n);
        match class {
            OTHER_DOMAIN => guess = password(n + self.users),
            ALMOST => guess.replace_range(guess.len() - 1.., "x"),
            _ => guess.replace_range(..1, "x"),
        }
        ["1.0", "1", "shop", "127.0.0.1", "", "PLAIN", &name, &guess].map(|frame| frame.as_bytes().to_vec()).into()
    }
}

fn share(class: usize) -> usize {
    if class == OTHER_DOMAIN { UNKNOWN } else { class % SHARES }
}

/// The share that a user belongs to. Each has one of every four, but not in turns, since memory locations take turns,
/// too.
fn share_of(n: usize) -> usize {
    (n + SplitMix64((n / SHARES) as u64).below(SHARES)) % SHARES
}

fn user(n: usize) -> String {
    format!("user-{n:07}")
}

fn password(n: usize) -> String {
    format!("password of number {n:07}")
}
