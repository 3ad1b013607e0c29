//! The matrix's report: for people, as Markdown, and as JSON.

use std::fmt::Write as _;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::exchange::{ClientSaid, ServerSaid};
use super::expected::words;
use super::peer::Mechanism;
use crate::escape;

/// What `--json` writes.
#[derive(Serialize)]
pub(crate) struct Report {
    /// The peers. The one that others are compared with comes first.
    pub(crate) peers: Vec<PeerState>,
    /// The cells that were run.
    pub(crate) cells: Vec<CellReport>,
    /// Certificates: each maker × each reader.
    pub(crate) certificates: Vec<CertificateReport>,
    /// The number of cells left out: most cases are run only against one peer.
    pub(crate) left_out: usize,
    /// The number of cells that a peer doesn't support.
    pub(crate) unsupported: usize,
    /// Cells and certificates with differences that aren't in a list of known ones.
    pub(crate) unexpected: Vec<String>,
    /// Known differences that should be there and aren't.
    pub(crate) gone: Vec<String>,
    /// The known differences that were seen.
    pub(crate) known: Vec<Known>,
    /// How long it took.
    pub(crate) seconds: f64,
}

#[derive(Serialize)]
pub(crate) struct PeerState {
    pub(crate) name: String,
    /// The implementation of ZMTP.
    pub(crate) stack: String,
    /// The versions that were tested.
    pub(crate) version: String,
    /// Why it can't run; null if it ran.
    pub(crate) missing: Option<String>,
    /// What to type to install it; null if it ran.
    pub(crate) hint: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct CellReport {
    pub(crate) server: String,
    pub(crate) client: String,
    pub(crate) mechanism: Mechanism,
    /// The case, such as `allowed` or `wrong credential`.
    pub(crate) case: String,
    /// `accepted` or `refused`.
    pub(crate) expected: &'static str,
    /// `accepted`, `refused`, `unsupported` or `failed`.
    pub(crate) outcome: &'static str,
    /// Why it is unsupported, or what failed.
    pub(crate) why: Option<String>,
    /// What the server printed; null if the cell has no result.
    pub(crate) server_said: Option<ServerSaid>,
    /// What the client printed; null if the cell has no result.
    pub(crate) client_said: Option<ClientSaid>,
    /// The differences from what is expected.
    pub(crate) differences: Vec<String>,
    /// The names of the known differences among them.
    pub(crate) known: Vec<String>,
    /// Whether all of it is expected or known.
    pub(crate) is_explained: bool,
    /// How long it took.
    pub(crate) milliseconds: u64,
}

#[derive(Serialize)]
pub(crate) struct CertificateReport {
    pub(crate) maker: String,
    /// Null if it is about making the certificate.
    pub(crate) reader: Option<String>,
    /// Which certificate.
    pub(crate) case: String,
    /// The differences from what is expected.
    pub(crate) differences: Vec<String>,
    /// The names of the known differences among them.
    pub(crate) known: Vec<String>,
    /// Whether all of it is expected or known.
    pub(crate) is_explained: bool,
}

#[derive(Serialize)]
pub(crate) struct Known {
    /// Its name in the list.
    pub(crate) name: String,
    /// The texts of its differences.
    pub(crate) says: Vec<String>,
    /// Why there is this difference.
    pub(crate) reason: String,
    /// The number of cells and certificates in which it was seen.
    pub(crate) seen: usize,
}

/// A table: its title, and its rows, the first of which is the head.
struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

const OK: &str = "ok";
const KNOWN: &str = "known";
const WRONG: &str = "WRONG";
const UNSUPPORTED: &str = "can't";
const NOT_RUN: &str = "";

const LEGEND: &str = "ok: as expected; known: as expected, except for a known difference; accepted, refused: not as expected, \
                      because of a known difference; WRONG: not as expected; can't: one end can't do it; empty: not run, \
                      because one end lacks the role, the mechanism or the ability.";

impl Report {
    pub(crate) fn is_as_expected(&self) -> bool {
        self.unexpected.is_empty() && self.gone.is_empty()
    }

    /// Writes it for people.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for table in self.tables() {
            let bold = Style::new().bold();
            writeln!(out, "{bold}{}{bold:#}", table.title)?;
            let width = |column: usize| {
                table.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
            };
            for row in &table.rows {
                let mut line = String::new();
                for (column, cell) in row.iter().enumerate() {
                    let width = width(column).unwrap_or_default();
                    let color = match cell.as_str() {
                        OK => AnsiColor::Green.on_default(),
                        KNOWN | "accepted" | "refused" => AnsiColor::Yellow.on_default(),
                        WRONG => AnsiColor::Red.on_default().bold(),
                        _ => Style::new(),
                    };
                    // Blanks outside of the colour, so that trailing ones can be removed.
                    let blanks = " ".repeat(width - cell.chars().count());
                    let _ = write!(line, "  {color}{cell}{color:#}{blanks}");
                }
                writeln!(out, "{}", line.trim_end())?;
            }
            writeln!(out)?;
        }
        writeln!(out, "{LEGEND}\n")?;
        self.write_lists(out, "")?;
        writeln!(out, "{}", self.summary())
    }

    /// Writes it as [`write`](Self::write) does, in Markdown for the docs.
    pub(crate) fn write_markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        for table in self.tables() {
            writeln!(out, "**{}**\n", table.title)?;
            for (number, row) in table.rows.iter().enumerate() {
                let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
                writeln!(out, "| {} |", cells.join(" | "))?;
                if number == 0 {
                    writeln!(out, "|{}", "---|".repeat(row.len()))?;
                }
            }
            writeln!(out)?;
        }
        writeln!(out, "{LEGEND}\n")?;
        self.write_lists(out, "- ")?;
        writeln!(out, "{}", self.summary())
    }

    fn write_lists(&self, out: &mut dyn Write, dash: &str) -> io::Result<()> {
        let indent = if dash.is_empty() { "  " } else { dash };
        let missing: Vec<String> = self
            .peers
            .iter()
            .filter_map(|peer| {
                let why = peer.missing.as_ref()?;
                let hint = peer.hint.as_deref().unwrap_or_default();
                Some(format!("{}: {} (to install it: {})", peer.name, escape::text(why), escape::text(hint)))
            })
            .collect();
        let known: Vec<String> = self
            .known
            .iter()
            .map(|known| format!("{} ({} times): {}. {}", known.name, known.seen, known.says.join("; "), known.reason))
            .collect();
        let lists = [
            ("Missing peers:", &missing),
            ("Known differences:", &known),
            ("Known differences that no longer occur:", &self.gone),
            ("Not as expected:", &self.unexpected),
        ];
        for (title, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            writeln!(out, "{title}\n")?;
            for line in list {
                writeln!(out, "{indent}{line}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let wrong = self.unexpected.len() + self.gone.len();
        let result =
            if wrong == 0 { "all as expected or known".to_owned() } else { format!("{wrong} not as expected") };
        let ran = self.peers.iter().filter(|peer| peer.missing.is_none());
        let mut stacks: Vec<&str> = ran.clone().map(|peer| peer.stack.as_str()).collect();
        stacks.sort_unstable();
        stacks.dedup();
        format!(
            "{} peers of {} stacks, {} cells and {} certificates in {:.0} s: {result}. {} cells were skipped, because those cases \
             run only against {}; {} can't be done.",
            ran.count(),
            stacks.len(),
            self.cells.len(),
            self.certificates.len(),
            self.seconds,
            self.left_out,
            super::REFERENCE,
            self.unsupported,
        )
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables = vec![self.peer_table()];
        for mechanism in Mechanism::ALL {
            for case in ["allowed", "wrong credential", "denied address"] {
                if case != "denied address" || mechanism == Mechanism::Null {
                    tables.extend(self.pairs(mechanism, case));
                }
            }
        }
        tables.extend(Mechanism::ALL.into_iter().filter_map(|mechanism| self.other_cases(mechanism)));
        tables.extend(self.certificate_table());
        tables.extend(self.words_for_a_refusal());
        tables
    }

    fn peer_table(&self) -> Table {
        let present = self.peers.iter().filter(|peer| peer.missing.is_none());
        let rows = present.map(|peer| vec![peer.name.clone(), peer.stack.clone(), escape::text(&peer.version)]);
        let head = ["peer", "stack", "version"].map(str::to_owned).to_vec();
        Table { title: "Peers".to_owned(), rows: [head].into_iter().chain(rows).collect() }
    }

    fn pairs(&self, mechanism: Mechanism, case: &str) -> Option<Table> {
        let cells: Vec<&CellReport> =
            self.cells.iter().filter(|cell| cell.mechanism == mechanism && cell.case == case).collect();
        let (mut servers, mut clients) = (Vec::new(), Vec::new());
        for cell in &cells {
            add(&mut servers, &cell.server);
            add(&mut clients, &cell.client);
        }
        let head = [&["server \\ client".to_owned()][..], &clients].concat();
        let rows = servers.iter().map(|server| {
            let of = |client: &String| {
                let cell = cells.iter().find(|cell| cell.server == *server && cell.client == *client);
                cell.map_or(NOT_RUN, |cell| cell.word()).to_owned()
            };
            [&[server.clone()][..], &clients.iter().map(of).collect::<Vec<_>>()].concat()
        });
        let title = format!("{} {case}", mechanism.name().to_uppercase());
        (!cells.is_empty()).then(|| Table { title, rows: [head].into_iter().chain(rows).collect() })
    }

    /// The cases of a mechanism that are run only against one peer: a row for each peer as server, and one as client.
    fn other_cases(&self, mechanism: Mechanism) -> Option<Table> {
        let is_pair = |case: &str| match case {
            "allowed" | "wrong credential" => true,
            "denied address" => mechanism == Mechanism::Null,
            _ => false,
        };
        let cells: Vec<&CellReport> =
            self.cells.iter().filter(|cell| cell.mechanism == mechanism && !is_pair(&cell.case)).collect();
        let mut cases = Vec::new();
        cells.iter().for_each(|cell| add(&mut cases, &cell.case));
        let mut rows = vec![[&["".to_owned()][..], &cases].concat()];
        let present = self.peers.iter().filter(|peer| peer.missing.is_none()).map(|peer| peer.name.as_str());
        let ends = present
            .flat_map(|name| [(name, "server", name, super::REFERENCE), (name, "client", super::REFERENCE, name)]);
        for (name, role, server, client) in ends {
            let words = cases.iter().map(|case| {
                let cell =
                    cells.iter().find(|cell| cell.case == *case && cell.server == server && cell.client == client);
                cell.map_or(NOT_RUN, |cell| cell.word()).to_owned()
            });
            let row: Vec<String> = [format!("{name} {role}")].into_iter().chain(words).collect();
            // The reference peer as its own client already has a row.
            let is_again = role == "client" && name == super::REFERENCE;
            if !is_again && row[1..].iter().any(|word| word != NOT_RUN) {
                rows.push(row);
            }
        }
        let title = format!("{}, other cases, against {}", mechanism.name().to_uppercase(), super::REFERENCE);
        (!cells.is_empty()).then_some(Table { title, rows })
    }

    fn certificate_table(&self) -> Option<Table> {
        let (mut makers, mut readers) = (Vec::new(), Vec::new());
        for certificate in &self.certificates {
            add(&mut makers, &certificate.maker);
            certificate.reader.iter().for_each(|reader| add(&mut readers, reader));
        }
        let head = [&["maker \\ reader".to_owned(), "made".to_owned()][..], &readers].concat();
        let word = |maker: &String, reader: Option<&String>| {
            let of =
                |certificate: &&CertificateReport| certificate.maker == *maker && certificate.reader.as_ref() == reader;
            let all: Vec<&CertificateReport> = self.certificates.iter().filter(of).collect();
            let worst = |is: fn(&CertificateReport) -> bool| all.iter().any(|certificate| is(certificate));
            if worst(|certificate| !certificate.is_explained) {
                WRONG
            } else if worst(|certificate| !certificate.differences.is_empty()) {
                KNOWN
            } else if all.is_empty() {
                NOT_RUN
            } else {
                OK
            }
        };
        let rows = makers.iter().map(|maker| {
            let readers = readers.iter().map(|reader| word(maker, Some(reader)).to_owned());
            [maker.clone(), word(maker, None).to_owned()].into_iter().chain(readers).collect()
        });
        let title = "Certificates".to_owned();
        (!makers.is_empty()).then(|| Table { title, rows: [head].into_iter().chain(rows).collect() })
    }

    /// What each stack reports about a refusal at its own end, with the reference peer at the other.
    fn words_for_a_refusal(&self) -> Option<Table> {
        let cases = [
            (Mechanism::Null, "denied address"),
            (Mechanism::Plain, "wrong credential"),
            (Mechanism::Curve, "wrong credential"),
        ];
        let refusals = cases.map(|(mechanism, case)| {
            self.cells.iter().filter(|cell| cell.mechanism == mechanism && cell.case == case).collect::<Vec<_>>()
        });
        let refusals: Vec<_> = refusals.into_iter().filter(|cells| !cells.is_empty()).collect();
        let columns = refusals.iter().flat_map(|cells| {
            let mechanism = cells[0].mechanism.name().to_uppercase();
            ["server", "client"].map(|end| format!("{mechanism} {end}"))
        });
        let head = ["peer".to_owned()].into_iter().chain(columns).collect();
        let rows = self.peers.iter().filter(|peer| peer.missing.is_none()).map(|peer| {
            let mut row = vec![peer.name.clone()];
            for cells in &refusals {
                let find = |server: &str, client: &str| {
                    cells.iter().find(|cell| cell.server == server && cell.client == client)
                };
                let server = find(&peer.name, super::REFERENCE).and_then(|cell| cell.server_said.as_ref());
                let client = find(super::REFERENCE, &peer.name).and_then(|cell| cell.client_said.as_ref());
                row.push(server.map_or(String::new(), |said| list(said.handshakes.iter().map(words), "nothing")));
                row.push(client.map_or(String::new(), |said| {
                    let end = said.no_reply.as_deref().unwrap_or("a reply");
                    list(said.handshakes.iter().map(words).chain([end.to_owned()]), "nothing")
                }));
            }
            row
        });
        let rows = [head].into_iter().chain(rows).collect();
        let title = "What each end reports about a refusal".to_owned();
        (!refusals.is_empty()).then_some(Table { title, rows })
    }
}

impl CellReport {
    fn word(&self) -> &'static str {
        match self.outcome {
            _ if !self.is_explained => WRONG,
            "unsupported" => UNSUPPORTED,
            _ if self.differences.is_empty() => OK,
            // Show a stack that fails open.
            outcome if outcome != self.expected => outcome,
            _ => KNOWN,
        }
    }
}

fn add(list: &mut Vec<String>, name: &String) {
    if !list.contains(name) {
        list.push(name.clone());
    }
}

fn list(words: impl Iterator<Item = String>, none: &str) -> String {
    let mut words: Vec<String> = words.collect();
    words.dedup();
    if words.is_empty() { none.to_owned() } else { words.join(", ") }
}
