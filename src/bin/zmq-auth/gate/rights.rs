//! Rights on topics: what each user may subscribe to.

use std::collections::HashMap;

/// The topics that each user may subscribe to, as prefixes.
#[derive(Clone, Default)]
pub(crate) struct TopicRights {
    /// Without rules, everybody may subscribe to everything.
    has_rules: bool,
    everybody: Vec<String>,
    users: HashMap<String, Vec<String>>,
}

impl TopicRights {
    /// From now on, only the rights that are added count.
    pub(crate) fn limit(&mut self) {
        self.has_rules = true;
    }

    /// Adds rights for this user, or for everybody.
    pub(crate) fn allow(&mut self, user: Option<&str>, topics: &[String]) {
        match user {
            None => self.everybody.extend_from_slice(topics),
            Some(user) => self.users.entry(user.to_owned()).or_default().extend_from_slice(topics),
        }
    }

    /// Whether an allowed prefix covers everything that begins with this topic.
    pub(super) fn covers(&self, user: Option<&str>, topic: &[u8]) -> bool {
        let own = user.and_then(|user| self.users.get(user)).into_iter().flatten();
        !self.has_rules || self.everybody.iter().chain(own).any(|allowed| topic.starts_with(allowed.as_bytes()))
    }
}
