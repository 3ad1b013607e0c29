//! Addresses and subnets, bit by bit.

/// The bits of an address, the most significant first: 32 or 128.
type Bits = Vec<bool>;

/// Where a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Ip(Bits),
    Ipc { uid: u32, gid: u32 },
}

/// A subnet; an address is one with all its bits.
#[derive(Debug, Clone)]
pub struct Subnet(Bits);

/// A rule about ipc peers.
#[derive(Debug, Clone, Copy)]
pub enum Ipc {
    Any,
    User(u32),
    Group(u32),
}

/// Both lists, for addresses and for ipc peers.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub allow: Vec<Subnet>,
    pub deny: Vec<Subnet>,
    pub allow_ipc: Vec<Ipc>,
    pub deny_ipc: Vec<Ipc>,
}

impl Rules {
    pub fn let_on(&self, address: &[u8]) -> bool {
        let allow = self.allow.len() + self.allow_ipc.len();
        if allow + self.deny.len() + self.deny_ipc.len() == 0 {
            return true;
        }
        let Some(address) = parse(address) else { return false };
        if covers(&self.deny, &self.deny_ipc, &address) {
            return false;
        }
        allow == 0 || covers(&self.allow, &self.allow_ipc, &address)
    }
}

fn covers(subnets: &[Subnet], ipc: &[Ipc], address: &Address) -> bool {
    match address {
        Address::Ip(bits) => subnets.iter().any(|subnet| subnet.covers(bits)),
        Address::Ipc { uid, gid } => ipc.iter().any(|rule| match rule {
            Ipc::Any => true,
            Ipc::User(user) => user == uid,
            Ipc::Group(group) => group == gid,
        }),
    }
}

impl Subnet {
    /// `10.0.0.7`, `192.168.1.0/24`, `::1`, `fd00::/8`: nothing around it, no zone.
    pub fn parse(text: &str) -> Option<Self> {
        let (ip, prefix) = match text.split('/').collect::<Vec<_>>()[..] {
            [ip] => (ip, None),
            [ip, prefix] => (ip, Some(number(prefix, 3)? as usize)),
            _ => return None,
        };
        let mut bits = v4(ip).or_else(|| v6(ip))?;
        let prefix = prefix.unwrap_or(bits.len());
        if prefix > bits.len() {
            return None;
        }
        // What is mapped as a whole is the IPv4 subnet.
        if prefix >= 96 && is_mapped(&bits) {
            return Some(Subnet(bits[96..prefix].to_vec()).of_v4());
        }
        let is_v4 = bits.len() == 32;
        bits.truncate(prefix);
        Some(if is_v4 { Subnet(bits).of_v4() } else { Subnet(bits).of_v6() })
    }

    // The family is one bit in front of all others.
    fn of_v4(mut self) -> Self {
        self.0.insert(0, false);
        self
    }

    fn of_v6(mut self) -> Self {
        self.0.insert(0, true);
        self
    }

    fn covers(&self, ip: &[bool]) -> bool {
        if self.0[0] != (ip.len() == 128) {
            return false;
        }
        for (n, bit) in self.0[1..].iter().enumerate() {
            if ip[n] != *bit {
                return false;
            }
        }
        true
    }
}

/// The address frame of a request.
pub fn parse(bytes: &[u8]) -> Option<Address> {
    let text = std::str::from_utf8(bytes).ok()?;
    if let Some(ids) = text.strip_prefix("localhost:") {
        return match ids.split(':').collect::<Vec<_>>()[..] {
            [uid, gid, pid] => {
                id(pid)?;
                Some(Address::Ipc { uid: id(uid)?, gid: id(gid)? })
            }
            _ => None,
        };
    }
    let bits = match text.find('%') {
        // Only IPv6 has zones.
        Some(at) if at + 1 < text.len() => v6(&text[..at])?,
        Some(_) => return None,
        None => v4(text).or_else(|| v6(text))?,
    };
    Some(Address::Ip(if is_mapped(&bits) { bits[96..].to_vec() } else { bits }))
}

/// Whether a callback sees this address as an IP address.
pub fn is_ip(bytes: &[u8]) -> bool {
    matches!(parse(bytes), Some(Address::Ip(_)))
}

fn is_mapped(bits: &[bool]) -> bool {
    bits.len() == 128 && bits[..80].iter().all(|bit| !bit) && bits[80..96].iter().all(|bit| *bit)
}

fn id(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A decimal number of at most `digits` digits, without sign or leading zeros.
fn number(text: &str, digits: usize) -> Option<u32> {
    let is_number = (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

fn v4(text: &str) -> Option<Bits> {
    let parts: Vec<_> = text.split('.').collect();
    if parts.len() != 4 {
        return None;
    }
    let mut bits = Bits::new();
    for part in parts {
        bits.extend(bits_of(number(part, 3).filter(|part| *part < 256)?, 8));
    }
    Some(bits)
}

/// RFC 4291, 2.2: groups of up to four hexadecimal digits, `::` once for one group of zeros or more, and IPv4 at the end.
fn v6(text: &str) -> Option<Bits> {
    let (front, back) = match text.split("::").collect::<Vec<_>>()[..] {
        [all] => (groups(all, true)?, None),
        [front, back] => (groups(front, false)?, Some(groups(back, true)?)),
        _ => return None,
    };
    let Some(back) = back else { return Some(front).filter(|bits| bits.len() == 128) };
    let zeros = 128usize.checked_sub(front.len() + back.len()).filter(|zeros| *zeros > 0)?;
    Some([front, vec![false; zeros], back].concat())
}

fn groups(text: &str, at_end: bool) -> Option<Bits> {
    let mut bits = Bits::new();
    if text.is_empty() {
        return Some(bits);
    }
    let parts: Vec<_> = text.split(':').collect();
    for (n, part) in parts.iter().enumerate() {
        if at_end && n + 1 == parts.len() && part.contains('.') {
            bits.extend(v4(part)?);
        } else if (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bits.extend(bits_of(u32::from_str_radix(part, 16).ok()?, 16));
        } else {
            return None;
        }
    }
    Some(bits)
}

fn bits_of(number: u32, width: u32) -> impl Iterator<Item = bool> {
    (0..width).rev().map(move |place| number >> place & 1 == 1)
}
