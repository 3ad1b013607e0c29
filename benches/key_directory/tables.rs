//! The sections of the report.

use zmq_auth_benches::report::{Better, Section};

use super::child::Child;

const US: &str = "zmq-auth";

pub(crate) struct Tables {
    load: Section,
    reload: Section,
    memory: Section,
}

impl Default for Tables {
    fn default() -> Self {
        let section = |key, title: &str, how: &str, unit, baseline| Section {
            key,
            title: title.into(),
            how: how.into(),
            unit,
            better: Better::Lower,
            baseline,
            records: Vec::new(),
        };
        Tables {
            load: section(
                "key-directory-load",
                "Loading a directory of `.key` files",
                "`KeyDirectory::open` and pyzmq's `load_certificates` of a directory that is in the page cache, each in a \
     new process. `C loop` lists the directory, and opens, stats, reads and closes each file; `C loop`, pyzmq \
     and `one thread` may use one processor. Ratios are to the loop in C.",
                "ms",
                Some("C loop"),
            ),
            reload: section(
                "key-directory-reload",
                "Reloading a directory of `.key` files",
                "`KeyDirectory::reload` of a directory in the page cache. Each run checks that it reads exactly one file \
     after one has changed, and none otherwise.",
                "ms",
                None,
            ),
            memory: section(
                "key-memory",
                "Memory for each key",
                "Growth of a new process's resident memory per key: with `configure_curve_keys`; with \
     `KeyDirectory::open`, which also keeps the names and stamps of the files; with pyzmq's \
     `load_certificates`.",
                "bytes a key",
                None,
            ),
        }
    }
}

impl Tables {
    pub(crate) fn load(&mut self, files: u32, contestant: &str, child: Child) {
        assert_eq!(child.get("files"), u64::from(files), "{contestant} loads all");
        self.load.add(&work(files, "files"), contestant, millis(child.get("ns")));
        if contestant != "C loop" && contestant != "zmq-auth, parallel" {
            let contestant = if contestant == "pyzmq" { contestant } else { US };
            let grown = child.get("grown") as f64 / f64::from(files);
            self.memory.add(&format!("a directory of {}", work(files, "files")), contestant, grown);
        }
    }

    pub(crate) fn reload(&mut self, files: u32, child: Child) {
        let work = work(files, "files");
        self.reload.add(&format!("{work}, nothing changed"), US, millis(child.get("unchanged")));
        self.reload.add(&format!("{work}, one changed"), US, millis(child.get("one_changed")));
    }

    pub(crate) fn set(&mut self, keys: u32, child: Child) {
        let grown = child.get("grown") as f64 / f64::from(keys);
        self.memory.add(&format!("a set of {}", work(keys, "keys")), US, grown);
    }

    pub(crate) fn into_sections(self) -> [Section; 3] {
        [self.load, self.reload, self.memory]
    }
}

/// "100,000 files".
fn work(count: u32, what: &str) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {what}")
}

fn millis(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}
