//! What went wrong, told so that a person knows what to do next.

use std::process::ExitCode;

use cairn_node::config::ConfigError;
use cairn_node::control::api::Response;
use cairn_node::control::client::ClientError;
use cairn_node::identity_file::IdentityError;

use crate::out;

/// Why a command ends without having done its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something is wrong.
    Told {
        /// What, in one sentence.
        message: String,
        /// What a person can do.
        hint: Option<String>,
    },
    /// The data said it already (a failed check, a refused receipt): only the exit code is left.
    Said,
    /// Whoever read stdout has enough; that is no error.
    PipeClosed,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Told { message: message.into(), hint: Some(hint.into()) }
    }

    /// An answer that does not belong to the question.
    pub(crate) fn unexpected(response: &Response) -> Self {
        let text = serde_json::to_string(response).unwrap_or_default();
        let text: String = text.chars().take(200).collect();
        Self::new(
            format!("the node gave an answer of another kind: {text}"),
            "use the command cairn of the version that runs as node",
        )
    }

    /// Tells it, and gives the exit code.
    pub(crate) fn report(self, json: bool) -> ExitCode {
        match self {
            Self::PipeClosed => ExitCode::SUCCESS,
            Self::Said => ExitCode::FAILURE,
            Self::Told { message, hint } => {
                out::say(&format!("error: {}", out::clean(&message)));
                if let Some(hint) = &hint {
                    out::say(&format!("hint: {}", out::clean(hint)));
                }
                if json {
                    // Machines read stdout; nobody is left to tell when that fails too.
                    let _ = out::json(&Response::Error { message, hint });
                }
                ExitCode::FAILURE
            }
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Told { message: error.to_string(), hint: error.hint() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(error.to_string(), error.hint())
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        Self::new(error.to_string(), error.hint())
    }
}
