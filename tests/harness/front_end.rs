//! The front ends: every way to run a handler. `behaviours!` runs a test with each of them.

use zmq_auth::{Authenticator, Result, ThreadAuthenticator};

use super::log;

/// The thread, or a task of one of tokio's two runtimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontEnd {
    Thread,
    /// A task of a runtime with one thread, which only runs the handler.
    #[cfg(feature = "tokio")]
    CurrentThread,
    /// A task of a runtime with two threads.
    #[cfg(feature = "tokio")]
    MultiThread,
}

/// A handler that runs until this is dropped.
pub struct Running(Kind);

enum Kind {
    Thread(ThreadAuthenticator),
    #[cfg(feature = "tokio")]
    Tokio(Box<tokio_front_end::Guard>),
}

impl FrontEnd {
    #[track_caller]
    pub fn start(self, authenticator: &Authenticator, context: &zmq::Context) -> Running {
        self.try_start(authenticator, context).expect("the handler starts")
    }

    pub fn try_start(self, authenticator: &Authenticator, context: &zmq::Context) -> Result<Running> {
        log::install();
        Ok(Running(match self {
            FrontEnd::Thread => Kind::Thread(authenticator.start(context)?),
            #[cfg(feature = "tokio")]
            FrontEnd::CurrentThread | FrontEnd::MultiThread => {
                Kind::Tokio(Box::new(tokio_front_end::start(self, authenticator, context)?))
            }
        }))
    }
}

/// A runtime of its own, for what must run in one.
#[cfg(feature = "tokio")]
pub fn runtime(front_end: FrontEnd) -> tokio::runtime::Runtime {
    use tokio::runtime::Builder;
    log::install();
    let mut builder = match front_end {
        FrontEnd::CurrentThread => Builder::new_current_thread(),
        FrontEnd::MultiThread => Builder::new_multi_thread(),
        FrontEnd::Thread => panic!("no runtime"),
    };
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

impl Running {
    /// Stops the handler, and returns the result of its own `stop`.
    pub fn stop(self) -> Result<()> {
        match self.0 {
            Kind::Thread(running) => running.stop(),
            #[cfg(feature = "tokio")]
            Kind::Tokio(guard) => guard.stop(),
        }
    }
}

/// Makes a test of each behaviour for each front end: `mod::thread::name`, `mod::tokio_current_thread::name`, ….
macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        mod thread {
            $(#[test] fn $name() { super::$name($crate::harness::front_end::FrontEnd::Thread) })*
        }
        #[cfg(feature = "tokio")]
        mod tokio_current_thread {
            $(#[test] fn $name() { super::$name($crate::harness::front_end::FrontEnd::CurrentThread) })*
        }
        #[cfg(feature = "tokio")]
        mod tokio_multi_thread {
            $(#[test] fn $name() { super::$name($crate::harness::front_end::FrontEnd::MultiThread) })*
        }
    };
}
pub(crate) use behaviours;

/// The same, with each test in its own process.
macro_rules! isolated_behaviours {
    ($($name:ident),* $(,)?) => {
        mod thread {
            $(#[test] fn $name() {
                $crate::harness::process::isolated(|| super::$name($crate::harness::front_end::FrontEnd::Thread));
            })*
        }
        #[cfg(feature = "tokio")]
        mod tokio_current_thread {
            $(#[test] fn $name() {
                $crate::harness::process::isolated(|| super::$name($crate::harness::front_end::FrontEnd::CurrentThread));
            })*
        }
        #[cfg(feature = "tokio")]
        mod tokio_multi_thread {
            $(#[test] fn $name() {
                $crate::harness::process::isolated(|| super::$name($crate::harness::front_end::FrontEnd::MultiThread));
            })*
        }
    };
}
pub(crate) use isolated_behaviours;

/// Makes a test of each behaviour for each tokio runtime, for what only that front end has.
macro_rules! async_behaviours {
    ($($name:ident),* $(,)?) => {
        mod current_thread {
            $(#[test] fn $name() { super::$name($crate::harness::front_end::FrontEnd::CurrentThread) })*
        }
        mod multi_thread {
            $(#[test] fn $name() { super::$name($crate::harness::front_end::FrontEnd::MultiThread) })*
        }
    };
}
pub(crate) use async_behaviours;

#[cfg(feature = "tokio")]
mod tokio_front_end {
    use std::sync::mpsc;
    use std::thread::{self, JoinHandle};

    use zmq_auth::{Authenticator, Result};

    use super::FrontEnd;

    /// The runtime's thread; it ends when `end` is called or this is dropped.
    pub(super) struct Guard {
        end: Option<tokio::sync::oneshot::Sender<()>>,
        thread: Option<JoinHandle<Result<()>>>,
    }

    pub(super) fn start(front_end: FrontEnd, authenticator: &Authenticator, context: &zmq::Context) -> Result<Guard> {
        let (started, is_started) = mpsc::channel();
        let (end, ended) = tokio::sync::oneshot::channel();
        let (authenticator, context) = (authenticator.clone(), context.clone());
        let thread = thread::spawn(move || {
            let runtime = super::runtime(front_end);
            let ended = runtime.block_on(async move {
                let running = match authenticator.start_async(&context).await {
                    Ok(running) => running,
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return Ok(());
                    }
                };
                // The handler holds no context, and neither may this.
                drop(context);
                let _ = started.send(Ok(()));
                let _ = ended.await;
                running.stop().await
            });
            // A callback that doesn't return must not delay the runtime's end.
            runtime.shutdown_background();
            ended
        });
        is_started.recv().expect("the runtime's thread answers")?;
        Ok(Guard { end: Some(end), thread: Some(thread) })
    }

    impl Guard {
        pub(super) fn stop(mut self) -> Result<()> {
            self.join()
        }

        fn join(&mut self) -> Result<()> {
            drop(self.end.take());
            self.thread.take().map_or(Ok(()), |thread| thread.join().expect("the runtime's thread doesn't panic"))
        }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.join();
        }
    }
}
