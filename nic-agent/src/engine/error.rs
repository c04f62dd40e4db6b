//! What keeps what is wanted from being what is there.

use selvedge_agent_core::LowerError;

use crate::datapath::DatapathError;

/// Why what is wanted is not what is there; tried again.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The data path can't be observed.
    #[error("can't observe the data path: {0}")]
    Observe(#[source] Box<DatapathError>),
    /// An action failed; those before it are done, and leave a state that may last.
    #[error("can't {action}: {source}")]
    Execute {
        /// The action.
        action: String,
        /// Why not.
        source: Box<DatapathError>,
    },
    /// The accepted plan can't be lowered.
    #[error(transparent)]
    Lower(#[from] LowerError),
}
