//! How many files and connections this process may have open, and who gets how many.
//!
//! It does not count what is open: the listener keeps to its share, and the rest is the server's.
use model::limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is kept for the server's own work: the catalog, six jobs with the files that they read and
/// write, look-ups of processes, sessions with clusters, calls to vaults, peers and webhooks.
const RESERVE: u64 = 384;
/// With fewer connections than this a server serves nobody.
const CONNECTIONS_MIN: u64 = 64;
/// More is never needed, and costs programs that walk through all numbers their time.
const LIMIT_MAX: u64 = 65_536;

/// The process's share of the machine's open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenFiles {
    limit: u64,
}

impl OpenFiles {
    /// Raises the soft limit as far as the hard one allows, and tells what there is.
    ///
    /// # Errors
    /// When that is too little to serve with.
    pub(crate) fn raise() -> Result<Self, TooFew> {
        let found = getrlimit(Resource::Nofile);
        let wanted = found.maximum.unwrap_or(LIMIT_MAX).min(LIMIT_MAX);
        let mut limit = found.current.unwrap_or(LIMIT_MAX);
        if limit < wanted {
            let raised = Rlimit {
                current: Some(wanted),
                maximum: found.maximum,
            };
            match setrlimit(Resource::Nofile, raised) {
                Ok(()) => limit = wanted,
                Err(error) => {
                    tracing::warn!(%error, limit, "the limit of open files was not raised")
                }
            }
        }
        Self::of(limit)
    }

    fn of(limit: u64) -> Result<Self, TooFew> {
        if limit < RESERVE + CONNECTIONS_MIN {
            return Err(TooFew { limit });
        }
        Ok(Self { limit })
    }

    /// The most files and connections that may be open at once.
    pub(crate) fn limit(self) -> u64 {
        self.limit
    }

    /// How many of them connections of clients may be; the others are for the server's own work.
    pub(crate) fn connections_max(self) -> usize {
        let left = usize::try_from(self.limit - RESERVE).unwrap_or(usize::MAX);
        left.min(limits::CONNECTIONS_MAX)
    }

    /// Says in the log what there is, and what would be more.
    pub(crate) fn tell(self) {
        let (limit, connections) = (self.limit(), self.connections_max());
        if connections < limits::CONNECTIONS_MAX {
            tracing::warn!(
                limit,
                connections,
                "few open files: clients get fewer connections than the {} there could be; raise the hard limit (ulimit -Hn, LimitNOFILE=) to {}",
                limits::CONNECTIONS_MAX,
                RESERVE + limits::CONNECTIONS_MAX as u64
            );
        } else {
            tracing::info!(limit, connections, "open files");
        }
    }
}

/// The system lets this process have too few files open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may have {limit} files and connections open, and needs {} at least: {RESERVE} for its own work and {CONNECTIONS_MIN} for clients",
    RESERVE + CONNECTIONS_MIN
)]
pub(crate) struct TooFew {
    limit: u64,
}

impl TooFew {
    /// What to do about it.
    pub(crate) fn hint() -> String {
        format!(
            "raise the hard limit, `ulimit -Hn` in a shell or LimitNOFILE= of a systemd unit; {} serve as many clients as there can be",
            RESERVE + limits::CONNECTIONS_MAX as u64
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_the_reserve_leaves() {
        let refused = OpenFiles::of(RESERVE + CONNECTIONS_MIN - 1).expect_err("too few");
        assert!(refused.to_string().contains("447"), "{refused}");
        for (limit, connections) in [(448, 64), (1_024, 640), (1_408, 1_024), (65_536, 1_024)] {
            let files = OpenFiles::of(limit).expect("enough");
            assert_eq!(
                (files.limit(), files.connections_max()),
                (limit, connections)
            );
        }
    }
}
