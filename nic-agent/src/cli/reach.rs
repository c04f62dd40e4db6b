//! Where etcd and the controller are, and as whom they are spoken to.

use super::endpoint::{EndpointError, EndpointUrl};
use super::run::Options;
use crate::membership::{Membership, MembershipError};

/// Where etcd and the controller are.
pub(super) struct Reach {
    /// etcd's client URLs.
    pub(super) etcd: Vec<EndpointUrl>,
    /// The controller's.
    pub(super) controller: Option<EndpointUrl>,
}

/// Why the agent can't speak to anybody.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReachError {
    #[error(transparent)]
    Membership(#[from] MembershipError),
    #[error("in the enrolment token: {0}")]
    Endpoint(#[from] EndpointError),
    #[error("{url}: an enrolled agent speaks TLS, to https:// URLs; --insecure goes with http:// ones")]
    Plain { url: String },
    #[error("{url}: --insecure goes with http:// URLs")]
    Encrypted { url: String },
}

impl Reach {
    /// As the options say, else as the enrolment token did. Without `--insecure` the node has to be enrolled.
    pub(super) fn of(options: &Options) -> Result<(Self, Option<Membership>), ReachError> {
        let mut reach = Self { etcd: options.etcd.clone(), controller: options.controller.clone() };
        if options.insecure {
            tracing::warn!("--insecure: nothing is encrypted, and nobody is asked who they are");
            return match reach.first(EndpointUrl::is_encrypted) {
                Some(url) => Err(ReachError::Encrypted { url }),
                None => Ok((reach, None)),
            };
        }
        let membership = Membership::load(&options.state_dir, &options.place.node)?;
        let known = &membership.whereabouts;
        if reach.etcd.is_empty() {
            reach.etcd = known.etcd.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
        }
        if reach.controller.is_none() {
            reach.controller = Some(known.controller.parse()?);
        }
        match reach.first(|url| !url.is_encrypted()) {
            Some(url) => Err(ReachError::Plain { url }),
            None => Ok((reach, Some(membership))),
        }
    }

    /// The first URL that is so.
    fn first(&self, is: impl Fn(&EndpointUrl) -> bool) -> Option<String> {
        self.etcd.iter().chain(&self.controller).find(|url| is(url)).map(|url| url.uri().to_string())
    }
}
