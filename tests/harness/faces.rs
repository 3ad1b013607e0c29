//! One behaviour, run through every way to run a handler.

use zmq_auth::{Authenticator, Result, ThreadAuthenticator};

use super::log;

/// A way to run a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    Thread,
    /// A task of a runtime with one thread, which waits for nothing but the handler.
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
    Tokio(Box<tokio_face::Guard>),
}

impl Face {
    #[track_caller]
    pub fn start(self, authenticator: &Authenticator, context: &zmq::Context) -> Running {
        self.try_start(authenticator, context).expect("the handler starts")
    }

    pub fn try_start(self, authenticator: &Authenticator, context: &zmq::Context) -> Result<Running> {
        log::install();
        Ok(Running(match self {
            Face::Thread => Kind::Thread(authenticator.start(context)?),
            #[cfg(feature = "tokio")]
            Face::CurrentThread | Face::MultiThread => {
                Kind::Tokio(Box::new(tokio_face::start(self, authenticator, context)?))
            }
        }))
    }
}

impl Running {
    /// Stops it, and answers what its own `stop` says.
    pub fn stop(self) -> Result<()> {
        match self.0 {
            Kind::Thread(running) => running.stop(),
            #[cfg(feature = "tokio")]
            Kind::Tokio(guard) => guard.stop(),
        }
    }
}

/// Makes a test of each behaviour for each face: `mod::thread::name`, `mod::tokio_current_thread::name`, ….
macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        mod thread {
            $(#[test] fn $name() { super::$name($crate::harness::faces::Face::Thread) })*
        }
        #[cfg(feature = "tokio")]
        mod tokio_current_thread {
            $(#[test] fn $name() { super::$name($crate::harness::faces::Face::CurrentThread) })*
        }
        #[cfg(feature = "tokio")]
        mod tokio_multi_thread {
            $(#[test] fn $name() { super::$name($crate::harness::faces::Face::MultiThread) })*
        }
    };
}
pub(crate) use behaviours;

#[cfg(feature = "tokio")]
mod tokio_face {
    use std::sync::mpsc;
    use std::thread::{self, JoinHandle};

    use zmq_auth::{Authenticator, Result};

    use super::Face;

    /// The thread that is in the runtime; it ends when `end` is used or dropped.
    pub(super) struct Guard {
        end: Option<tokio::sync::oneshot::Sender<()>>,
        thread: Option<JoinHandle<Result<()>>>,
    }

    pub(super) fn start(face: Face, authenticator: &Authenticator, context: &zmq::Context) -> Result<Guard> {
        let (started, is_started) = mpsc::channel();
        let (end, ended) = tokio::sync::oneshot::channel();
        let (authenticator, context) = (authenticator.clone(), context.clone());
        let thread = thread::spawn(move || {
            let mut builder = match face {
                Face::MultiThread => tokio::runtime::Builder::new_multi_thread(),
                _ => tokio::runtime::Builder::new_current_thread(),
            };
            let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
            let ended = runtime.block_on(async move {
                let running = match authenticator.start_async(&context).await {
                    Ok(running) => running,
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return Ok(());
                    }
                };
                // The handler holds no context; nor may this.
                drop(context);
                let _ = started.send(Ok(()));
                let _ = ended.await;
                running.stop().await
            });
            // A callback that doesn't return must not hold up the runtime's end.
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
