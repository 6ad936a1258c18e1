//! The other end of the control socket, for `vitrailctl`: plain blocking calls, each with a deadline but for [`Client::wait`].

use std::env;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::protocol::{Answer, Request};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "no compositor listens at {}; start vitrail, or say where it listens with --ipc PATH or VITRAIL_IPC",
        .0.display()
    )]
    NobodyThere(PathBuf),
    /// Somebody does, and not for this user.
    #[error("the compositor at {} serves the user that started it, and you are another", .0.display())]
    Refused(PathBuf),
    /// The connection failed.
    #[error("error speaking to the compositor at {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The answer did not come in time.
    #[error("the compositor at {} did not answer in time", .0.display())]
    TimedOut(PathBuf),
    /// The answer is none.
    #[error(
        "error reading the compositor's answer; vitrailctl and the compositor may be of different versions"
    )]
    Answer(#[source] serde_json::Error),
    /// The compositor said no.
    #[error("{0}")]
    Said(String),
}

/// The socket of a compositor that was started with `--socket name` and no `--ipc`:
/// `$XDG_RUNTIME_DIR/vitrail-NAME.sock`. `None` if the variable is not set.
#[must_use]
pub fn default_path(name: &str) -> Option<PathBuf> {
    let directory = env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty())?;
    Some(Path::new(&directory).join(format!("vitrail-{name}.sock")))
}

/// A connection to a compositor.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if nobody listens there, or not for this user.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|source| match source.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => ClientError::NobodyThere(path.to_owned()),
            ErrorKind::PermissionDenied => ClientError::Refused(path.to_owned()),
            _ => ClientError::Io { path: path.to_owned(), source },
        })?;
        Ok(Self { path: path.to_owned(), stream: BufReader::new(stream) })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    ///
    /// [`ClientError::Said`] if the compositor refused, others if there is no answer.
    pub fn request<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, ClientError> {
        self.request_within(request, PATIENCE)
    }

    /// The same, for an answer that may take `patience`.
    ///
    /// # Errors
    ///
    /// As [`Client::request`]. After [`ClientError::TimedOut`] the connection cannot be used any more.
    pub fn request_within<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        patience: Duration,
    ) -> Result<T, ClientError> {
        self.answer_to(request, Some(patience))
    }

    /// The same, for an answer that comes when something changes, however long that takes.
    ///
    /// # Errors
    ///
    /// As [`Client::request`].
    pub fn wait<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, ClientError> {
        self.answer_to(request, None)
    }

    fn answer_to<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        patience: Option<Duration>,
    ) -> Result<T, ClientError> {
        let mut line = serde_json::to_vec(request).map_err(ClientError::Answer)?;
        line.push(b'\n');
        let answer = self.exchange(&line, patience).map_err(|source| match source.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => ClientError::TimedOut(self.path.clone()),
            _ => ClientError::Io { path: self.path.clone(), source },
        })?;
        match serde_json::from_str(&answer).map_err(ClientError::Answer)? {
            Answer::Ok(value) => Ok(value),
            Answer::Error(reason) => Err(ClientError::Said(reason)),
        }
    }

    fn exchange(&mut self, line: &[u8], patience: Option<Duration>) -> io::Result<String> {
        // The system takes no timeout of zero.
        let patience = patience.map(|patience| patience.max(Duration::from_millis(1)));
        self.stream.get_ref().set_read_timeout(patience)?;
        self.stream.get_ref().set_write_timeout(patience)?;
        let sent = self.stream.get_mut().write_all(line);
        let mut answer = String::new();
        // A compositor that refuses a client says why before it hangs up, so the answer comes first.
        self.stream.by_ref().take(MAX_ANSWER).read_line(&mut answer)?;
        if answer.is_empty() {
            sent?;
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(answer)
    }
}
