//! `zmq-auth matrix`: runs every ZeroMQ stack against every other, and shows which clients are accepted.

mod cell;
mod certificates;
mod credentials;
mod differences;
mod exchange;
mod expected;
mod peer;
mod process;
mod report;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::escape;
use crate::output::{Exit, Failure, Output};
use cell::{Case, Cell};
use certificates::SAMPLES;
use credentials::Credentials;
use differences::{Compared, Difference, Place};
use exchange::{Setting, Stopped};
use peer::{Ability, Mechanism, Peer};
use process::Pool;
use report::{CellReport, CertificateReport, Known, PeerState, Report};

/// The peer that the others are compared with in cases that aren't run for every pair.
const REFERENCE: &str = "rust";

/// Run every ZeroMQ stack against every other, and show which clients are accepted
///
/// Each peer is a program that speaks the matrix's protocol, which the docs describe. Every server is run with every client,
/// for each mechanism, with the right credentials and with wrong ones. The other cases (a denied address, a wrong server
/// key, a revoked key, a client that is told to retry, ipc, certificates made by each peer) are run only with the peer rust.
/// Every unexpected result must be in the list of known differences, and everything in the list must occur.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
        zmq-auth matrix --install --only rust,pyzmq\n  \
        zmq-auth matrix --peer mine='python3 my_peer.py' --only rust,mine\n\n\
        Exit codes: 0 all results are as expected; 1 one isn't, or a required peer is missing.")]
pub(crate) struct Matrix {
    /// The directory that has a directory with a peer.toml for each peer [default: tests/interop/peers, here or above]
    #[arg(long, value_name = "DIRECTORY")]
    peers: Option<PathBuf>,
    /// Add a peer: its name, and the command that starts it
    #[arg(long, value_name = "NAME=COMMAND", value_parser = name_and_command)]
    peer: Vec<(String, String)>,
    /// Run only these peers
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,
    /// Fail if one of these peers is missing; `all` for every peer
    #[arg(long, value_name = "NAME,…|all", value_delimiter = ',')]
    require: Vec<String>,
    /// First run the peers' install commands, which install what they need below the target directory
    #[arg(long)]
    install: bool,
    /// Run only these mechanisms
    #[arg(long, value_name = "MECHANISM,…", value_enum, value_delimiter = ',')]
    mechanism: Vec<Mechanism>,
    /// How many cells run at the same time [default: two for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// A list of known differences, in addition to stack_differences.toml beside the peers' directory
    #[arg(long, value_name = "FILE")]
    differences: Vec<PathBuf>,
    /// Write the tables in Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

impl Matrix {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let begin = Instant::now();
        let directory = self.peers.clone().map_or_else(peer::find_directory, Ok)?;
        let peers = self.all_peers(&directory)?;
        let known = self.known_differences(&directory, &peers)?;
        let chosen = self.chosen(&peers)?;
        let missing = self.prepare(&peers, &chosen)?;
        let present: Vec<usize> = chosen.into_iter().filter(|index| missing[*index].is_none()).collect();

        let mechanisms = if self.mechanism.is_empty() { Mechanism::ALL.to_vec() } else { self.mechanism.clone() };
        let reference = present.iter().copied().find(|index| peers[*index].name == REFERENCE);
        let (cells, left_out) = cell::list(&peers, &present, &mechanisms, reference);
        let files = tempfile::tempdir()
            .map_err(|error| Failure::new(format!("cannot create a temporary directory: {error}")))?;
        let makers: Vec<usize> =
            present.iter().copied().filter(|index| peers[*index].can(Ability::Certificates)).collect();
        let has_certificates = mechanisms.contains(&Mechanism::Curve);

        let (certificates, cells) = {
            let samples: Vec<(usize, usize)> = match has_certificates {
                true => {
                    makers.iter().flat_map(|maker| (0..SAMPLES.len()).map(move |sample| (*maker, sample))).collect()
                }
                false => Vec::new(),
            };
            let progress = progress(cells.len() + samples.len());
            let certificates = self.in_parallel(&samples, |number, (maker, sample)| {
                let directory = files.path().join(format!("certificate-{number}"));
                let outcomes = certificates::run(&peers, *maker, &makers, &SAMPLES[*sample], &directory);
                progress.inc(1);
                outcomes.into_iter().map(|outcome| (*maker, *sample, outcome)).collect::<Vec<_>>()
            });
            let cells = self.run_cells(&peers, cells, files.path(), &progress)?;
            progress.finish_and_clear();
            (certificates, cells)
        };

        let mut comparison =
            Comparison { peers: &peers, known: &known, seen: BTreeMap::new(), unexpected: vec![], gone: vec![] };
        let cells: Vec<CellReport> = cells.into_iter().map(|ran| comparison.cell(ran)).collect();
        let certificates: Vec<CertificateReport> = certificates
            .into_iter()
            .flatten()
            .map(|(maker, sample, outcome)| comparison.certificate(maker, SAMPLES[sample].name, outcome))
            .collect();
        let Comparison { seen, unexpected, gone, .. } = comparison;
        let known = known.into_iter().filter_map(|difference| {
            let seen = *seen.get(&difference.name)?;
            Some(Known { name: difference.name, says: difference.says, reason: difference.reason, seen })
        });
        let report = Report {
            unsupported: cells.iter().filter(|cell| cell.outcome == "unsupported").count(),
            known: known.collect(),
            peers: states(&peers, &present, &missing),
            cells,
            certificates,
            left_out,
            unexpected,
            gone,
            seconds: begin.elapsed().as_secs_f64(),
        };
        output.write(&report, |out| if self.markdown { report.write_markdown(out) } else { report.write(out) })?;
        Ok(if report.is_as_expected() { Exit::Done } else { Exit::Found })
    }

    /// The peers of the directory, and those of `--peer`.
    fn all_peers(&self, directory: &Path) -> Result<Vec<Peer>, Failure> {
        let mut peers = peer::read(directory)?;
        for (name, command) in &self.peer {
            if peers.iter().any(|peer| peer.name == *name) {
                return Err(
                    Failure::usage(format!("a peer named {name:?} exists already")).hint("Give it another name.")
                );
            }
            peers.push(Peer::from_command(name, command));
        }
        let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
        let asked = self.only.iter().chain(self.require.iter().filter(|name| *name != "all"));
        match asked.into_iter().find(|name| !names.contains(&name.as_str())) {
            Some(unknown) => Err(Failure::usage(format!("unknown peer {unknown:?}"))
                .hint(format!("Known peers: {}. --peer adds another one.", names.join(", ")))),
            None => Ok(peers),
        }
    }

    fn known_differences(&self, directory: &Path, peers: &[Peer]) -> Result<Vec<Difference>, Failure> {
        let beside = directory.join("../stack_differences.toml");
        let beside = beside.exists().then_some(beside.as_path());
        let files: Vec<&Path> = beside.into_iter().chain(self.differences.iter().map(PathBuf::as_path)).collect();
        differences::read(&files, peers)
    }

    /// The indices of the peers to run.
    fn chosen(&self, peers: &[Peer]) -> Result<Vec<usize>, Failure> {
        let is_chosen = |peer: &Peer| self.only.is_empty() || self.only.contains(&peer.name);
        let chosen: Vec<usize> = (0..peers.len()).filter(|index| is_chosen(&peers[*index])).collect();
        if chosen.is_empty() { Err(Failure::usage("no peers to run")) } else { Ok(chosen) }
    }

    /// Runs the install commands if asked to, tries out each peer, and returns for each why it is missing, if it is.
    fn prepare(&self, peers: &[Peer], chosen: &[usize]) -> Result<Vec<Option<String>>, Failure> {
        let progress = progress(chosen.len());
        progress.set_message("peers");
        let tried = self.in_parallel(chosen, |_, index| {
            let peer = &peers[*index];
            let installed = if self.install { peer.install() } else { Ok(()) };
            let result = installed.and_then(|()| peer.try_out());
            progress.inc(1);
            result.err()
        });
        progress.finish_and_clear();
        let mut missing: Vec<Option<String>> = vec![None; peers.len()];
        for (index, why) in chosen.iter().zip(tried) {
            missing[*index] = why;
        }
        let is_required = |peer: &Peer| self.require.iter().any(|name| name == "all" || *name == peer.name);
        let required: Vec<String> = peers
            .iter()
            .zip(&missing)
            .filter(|(peer, _)| is_required(peer))
            .filter_map(|(peer, why)| Some(format!("  {}: {}", peer.name, escape::text(why.as_ref()?))))
            .collect();
        if required.is_empty() {
            return Ok(missing);
        }
        let hints = peers.iter().zip(&missing).filter(|(peer, why)| is_required(peer) && why.is_some());
        let hints: Vec<String> = hints
            .map(|(peer, _)| {
                let root = if peer.needs_root { " (needs root)" } else { "" };
                format!("  {}{root}: {}", peer.name, escape::text(&peer.hint()))
            })
            .collect();
        Err(Failure::new(format!("required peers are missing:\n{}", required.join("\n")))
            .hint(format!("To install them: zmq-auth matrix --install, or:\n{}", hints.join("\n"))))
    }

    fn run_cells(
        &self,
        peers: &[Peer],
        cells: Vec<Cell>,
        directory: &Path,
        progress: &ProgressBar,
    ) -> Result<Vec<Ran>, Failure> {
        let own = Credentials::make(directory.join("own")).map_err(Failure::new)?;
        let is_maker = |index: usize| cells.iter().any(|cell| cell.case == Case::KeysBy(index));
        let made_by: Vec<_> = (0..peers.len())
            .map(|index| {
                let directory = directory.join(format!("made-by-{index}"));
                is_maker(index).then(|| Credentials::made_by(&peers[index], directory))
            })
            .collect();
        let pool = Pool::default();
        let setting = Setting { peers, pool: &pool, own: &own, made_by: &made_by, directory: directory.to_owned() };
        let outcomes = self.in_parallel(&cells, |number, cell| {
            let begin = Instant::now();
            let outcome = exchange::run(&setting, cell, number);
            progress.inc(1);
            (outcome, begin.elapsed())
        });
        Ok(cells.into_iter().zip(outcomes).map(|(cell, (outcome, time))| Ran { cell, outcome, time }).collect())
    }

    /// Runs this for each item, as many at once as `--jobs` says. The results are in the order of the list.
    fn in_parallel<T: Sync, R: Send>(&self, list: &[T], run: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let jobs = self.jobs.map_or(2 * cores, NonZeroUsize::get).min(list.len());
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::with_capacity(list.len()));
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some((number, item)) =
                        Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|number| Some((number, list.get(number)?)))
                    {
                        let result = run(number, item);
                        results.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(number, _)| *number);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

/// A cell that was run.
struct Ran {
    cell: Cell,
    outcome: Result<exchange::Seen, Stopped>,
    time: Duration,
}

/// Compares results with the list of known differences.
struct Comparison<'a> {
    peers: &'a [Peer],
    known: &'a [Difference],
    /// How often each known difference was seen.
    seen: BTreeMap<String, usize>,
    unexpected: Vec<String>,
    gone: Vec<String>,
}

impl Comparison<'_> {
    fn cell(&mut self, Ran { cell, outcome, time }: Ran) -> CellReport {
        let (server, client) = (&self.peers[cell.server], &self.peers[cell.client]);
        let case = cell.case_name(self.peers);
        let title = format!("{} server, {} client, {}, {case}", server.name, client.name, cell.mechanism.name());
        let mut report = CellReport {
            server: server.name.clone(),
            client: client.name.clone(),
            mechanism: cell.mechanism,
            expected: if cell.is_accepted() { "accepted" } else { "refused" },
            outcome: "failed",
            why: None,
            server_said: None,
            client_said: None,
            differences: vec![],
            known: vec![],
            is_explained: true,
            milliseconds: time.as_millis().try_into().unwrap_or(u64::MAX),
            case,
        };
        match outcome {
            Ok(seen) => {
                report.differences = expected::differences(&cell, self.peers, &seen);
                report.outcome = if seen.client.reply.is_some() { "accepted" } else { "refused" };
                report.server_said = Some(seen.server);
                report.client_said = Some(seen.client);
            }
            Err(Stopped::Unsupported(why)) => {
                report.outcome = "unsupported";
                report.why = Some(why);
                return report;
            }
            Err(Stopped::Failed(why)) => {
                report.differences = vec![why.clone()];
                report.why = Some(why);
            }
        }
        let (server, client, mechanism) = (Some(server), Some(client), Some(cell.mechanism));
        let place = Place { server, client, maker: None, reader: None, mechanism, case: &report.case };
        (report.known, report.is_explained) = self.compare(&place, &report.differences, &title);
        report
    }

    fn certificate(&mut self, maker: usize, case: &str, outcome: certificates::Outcome) -> CertificateReport {
        let (maker, reader) = (&self.peers[maker], outcome.reader.map(|reader| &self.peers[reader]));
        let title = match reader {
            Some(reader) => format!("{} made by {}, read by {}", case, maker.name, reader.name),
            None => format!("{} made by {}", case, maker.name),
        };
        let place = Place { server: None, client: None, maker: Some(maker), reader, mechanism: None, case };
        let (known, is_explained) = self.compare(&place, &outcome.differences, &title);
        CertificateReport {
            maker: maker.name.clone(),
            reader: reader.map(|reader| reader.name.clone()),
            case: case.to_owned(),
            differences: outcome.differences,
            known,
            is_explained,
        }
    }

    /// Returns the known ones among the differences, and whether all of them are known.
    fn compare(&mut self, place: &Place<'_>, differences: &[String], title: &str) -> (Vec<String>, bool) {
        let Compared { known, unexpected, gone } = differences::compare(self.known, place, differences);
        let is_explained = unexpected.is_empty() && gone.is_empty();
        for name in &known {
            *self.seen.entry(name.clone()).or_default() += 1;
        }
        self.unexpected.extend(unexpected.into_iter().map(|text| format!("{title}: {text}")));
        self.gone.extend(gone.into_iter().map(|name| format!("{name}: not seen with {title}")));
        (known, is_explained)
    }
}

/// The report on each peer: those that ran, and those that are missing.
fn states(peers: &[Peer], present: &[usize], missing: &[Option<String>]) -> Vec<PeerState> {
    let listed = peers.iter().enumerate().filter(|(index, _)| present.contains(index) || missing[*index].is_some());
    let state = |(index, peer): (usize, &Peer)| PeerState {
        name: peer.name.clone(),
        stack: peer.stack.clone(),
        version: peer.version.clone(),
        missing: missing[index].clone(),
        hint: missing[index].as_ref().map(|_| peer.hint()),
    };
    listed.map(state).collect()
}

/// A progress bar, shown only on a terminal.
fn progress(length: usize) -> ProgressBar {
    let progress = ProgressBar::new(length.try_into().unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} {elapsed}") {
        progress.set_style(style);
    }
    progress
}

fn name_and_command(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, command)) if !name.is_empty() && !command.trim().is_empty() => {
            Ok((name.to_owned(), command.to_owned()))
        }
        _ => Err("write NAME='COMMAND', such as mine='python3 my_peer.py'".to_owned()),
    }
}
