//! The calls that set address rules.

use ipnet::IpNet;

use super::Authenticator;
use crate::address::{AddressList, IpcRule, Side, canonical, parse_rules};
use crate::error::Result;

impl Authenticator {
    /// Adds addresses and subnets to the allow list: `"10.0.0.7"`, `"192.168.1.0/24"`, `"::1"`, `"fd00::/8"`.
    ///
    /// An empty allow list is no allow list: it refuses nobody.
    ///
    /// # Errors
    /// [`Error::AddressRule`](crate::Error::AddressRule) for the first rule that doesn't parse; then none of the call's rules is added.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.allow(["10.0.0.0/8", "::1"])?;
    /// assert!(auth.allow(["10.1.0.0/16", "localhost"]).is_err());
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn allow<I>(&self, addresses: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let rules = parse_rules(addresses)?;
        log_debug!("allow: {} address rules added", rules.len());
        self.add_rules(Side::Allow, rules);
        Ok(())
    }

    /// Adds addresses and subnets to the deny list, which wins over the allow list.
    ///
    /// # Errors
    /// As [`allow`](Self::allow).
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.allow(["10.0.0.0/8"])?;
    /// auth.deny(["10.0.0.66"])?; // the rest of 10.0.0.0/8 stays allowed
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn deny<I>(&self, addresses: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let rules = parse_rules(addresses)?;
        log_debug!("deny: {} address rules added", rules.len());
        self.add_rules(Side::Deny, rules);
        Ok(())
    }

    /// As [`allow`](Self::allow), for addresses and subnets that are already parsed. A subnet of IPv4-mapped addresses is
    /// the IPv4 subnet.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.allow_nets([std::net::IpAddr::from([10, 0, 0, 7])]);
    /// ```
    pub fn allow_nets<I>(&self, nets: I)
    where
        I: IntoIterator,
        I::Item: Into<IpNet>,
    {
        self.add_rules(Side::Allow, nets.into_iter().map(|net| canonical(net.into())).collect());
    }

    /// As [`deny`](Self::deny), for addresses and subnets that are already parsed.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.deny_nets(["10.0.0.0/8".parse::<ipnet::IpNet>()?]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deny_nets<I>(&self, nets: I)
    where
        I: IntoIterator,
        I::Item: Into<IpNet>,
    {
        self.add_rules(Side::Deny, nets.into_iter().map(|net| canonical(net.into())).collect());
    }

    /// Replaces both address lists at once; an empty list is no list. The ipc rules stay.
    ///
    /// # Errors
    /// As [`allow`](Self::allow).
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.set_addresses(["10.0.0.0/8"], ["10.0.0.66"])?;
    /// auth.set_addresses([""; 0], [""; 0])?; // no address rules any more
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn set_addresses<A, D>(&self, allow: A, deny: D) -> Result<()>
    where
        A: IntoIterator,
        A::Item: AsRef<str>,
        D: IntoIterator,
        D::Item: AsRef<str>,
    {
        let list = |rules| -> AddressList {
            let mut list = AddressList::default();
            list.ip.extend(rules);
            list
        };
        let mut allow = list(parse_rules(allow)?);
        let mut deny = list(parse_rules(deny)?);
        log_debug!("address rules replaced");
        let mut policy = self.write();
        std::mem::swap(&mut policy.addresses.allow.ip, &mut allow.ip);
        std::mem::swap(&mut policy.addresses.deny.ip, &mut deny.ip);
        // Free the old lists after the lock is released.
        drop(policy);
        Ok(())
    }

    /// Adds rules to the allow list for `ipc://` clients, by the user and group that the kernel reports (Linux).
    ///
    /// Addresses and ipc rules form one allow list: if it has only ipc rules, IP clients are refused, and vice versa.
    ///
    /// ```
    /// use zmq_auth::IpcRule;
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.allow_ipc([IpcRule::User(1000)]);
    /// ```
    pub fn allow_ipc<I>(&self, rules: I)
    where
        I: IntoIterator<Item = IpcRule>,
    {
        let rules: Vec<IpcRule> = rules.into_iter().collect();
        self.write().addresses.allow.ipc.extend(rules);
    }

    /// Adds rules to the deny list for `ipc://` clients; it wins over the allow list.
    ///
    /// ```
    /// use zmq_auth::IpcRule;
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.deny_ipc([IpcRule::Any]); // no ipc clients; IP clients as before
    /// ```
    pub fn deny_ipc<I>(&self, rules: I)
    where
        I: IntoIterator<Item = IpcRule>,
    {
        let rules: Vec<IpcRule> = rules.into_iter().collect();
        self.write().addresses.deny.ipc.extend(rules);
    }

    /// Replaces both ipc lists at once. The addresses stay.
    ///
    /// ```
    /// use zmq_auth::IpcRule;
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.set_ipc([IpcRule::Group(27)], []);
    /// ```
    pub fn set_ipc<A, D>(&self, allow: A, deny: D)
    where
        A: IntoIterator<Item = IpcRule>,
        D: IntoIterator<Item = IpcRule>,
    {
        let (allow, deny) = (allow.into_iter().collect(), deny.into_iter().collect());
        let mut policy = self.write();
        policy.addresses.allow.ipc = allow;
        policy.addresses.deny.ipc = deny;
    }

    fn add_rules(&self, side: Side, rules: Vec<IpNet>) {
        let update = self.begin_update();
        if update.read().addresses.list(side).ip.takes_in_place(&rules) {
            update.write().addresses.list_mut(side).ip.extend(rules);
            return;
        }
        let mut copy = update.read().addresses.list(side).ip.clone();
        copy.extend(rules);
        let mut policy = update.write();
        std::mem::swap(&mut policy.addresses.list_mut(side).ip, &mut copy);
        drop(policy);
        drop(copy);
    }
}
