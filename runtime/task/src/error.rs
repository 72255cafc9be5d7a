//! Why a task gave no answer.

/// Longest text of an error that comes from a module, a model or a library.
pub const ERROR_TEXT_BYTES_MAX: usize = 1024;

/// Why a task gave no answer. Texts in it come from modules and libraries: they
/// are cut to [`ERROR_TEXT_BYTES_MAX`] bytes and carry no control characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// There is no module to run.
    #[error("the module is missing")]
    MissingModule,
    /// The module is not a WASI command module.
    #[error("not a WASI command module: {0}")]
    NotWasm(String),
    /// The model is not an ONNX model that this engine can load.
    #[error("not a usable ONNX model: {0}")]
    NotOnnx(String),
    /// The model wants to read other files.
    #[error("the model keeps data in other files; hint: save it with all weights inside")]
    ExternalData,
    /// The input is not what the rung works on.
    #[error("the input does not fit: {0}")]
    Input(String),
    /// The module did something that is not allowed, or gave up.
    #[error("the module trapped: {0}")]
    Trap(String),
    /// The model loaded, but could not be computed.
    #[error("the model failed: {0}")]
    Model(String),
    /// The fuel bound was reached.
    #[error("out of fuel")]
    OutOfFuel,
    /// The memory bound was reached.
    #[error("out of memory")]
    OutOfMemory,
    /// The wall time bound was reached.
    #[error("out of time")]
    OutOfTime,
    /// The output bound was reached.
    #[error("the output is larger than the rung allows")]
    OutputTooLarge,
    /// The module ended with an exit code.
    #[error("the module ended with exit code {code}: {stderr}")]
    NonZeroExit {
        /// The code.
        code: i32,
        /// What it said on stderr.
        stderr: String,
    },
    /// The task was cancelled here.
    #[error("cancelled")]
    Cancelled,
    /// The worker process ended without an answer: the module or model killed it.
    #[error("the worker process died: {0}")]
    WorkerDied(String),
    /// This machine could not run any task.
    #[error("no worker process: {0}; hint: run cairn doctor")]
    NoWorker(String),
}

impl TaskError {
    /// Whether this says something about the machine or its load, so that the
    /// same task may succeed here later or on another node.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(
            self,
            Self::MissingModule | Self::OutOfTime | Self::Cancelled | Self::WorkerDied(_) | Self::NoWorker(_)
        )
    }
}

/// Makes a text of a library or module fit for an error.
pub(crate) fn text(from: impl core::fmt::Display) -> String {
    cairn_board::plain_text(from.to_string().trim_end(), ERROR_TEXT_BYTES_MAX)
}
