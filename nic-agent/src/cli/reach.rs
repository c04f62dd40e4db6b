//! Where etcd and the controller are, and as whom they are spoken to.

use selvedge_topology::failsafe::{Origin, Service, ServiceKind};

use super::endpoint::{EndpointError, EndpointUrl};
use super::run::Options;
use crate::membership::{Membership, MembershipError};

/// Where etcd and the controller are.
pub(super) struct Reach {
    /// etcd's client URLs.
    pub(super) etcd: Vec<EndpointUrl>,
    /// The controller's.
    pub(super) controller: Option<EndpointUrl>,
    /// The same, as services that the node can't live without.
    pub(super) services: Vec<Service>,
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

/// What is at these URLs.
fn listed(etcd: &[EndpointUrl], controller: Option<&EndpointUrl>, origin: Origin) -> Vec<Service> {
    let etcd = etcd.iter().map(|url| url.service(ServiceKind::Etcd, origin));
    etcd.chain(controller.map(|url| url.service(ServiceKind::Controller, origin))).collect()
}

impl Reach {
    /// As the options say, else as the enrolment token did. Without `--insecure` the node has to be enrolled.
    pub(super) fn of(options: &Options) -> Result<(Self, Option<Membership>), ReachError> {
        let (etcd, controller) = (options.etcd.clone(), options.controller.clone());
        let services = listed(&etcd, controller.as_ref(), Origin::Option);
        let mut reach = Self { etcd, controller, services };
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
            reach.services.extend(listed(&reach.etcd, None, Origin::Token));
        }
        if reach.controller.is_none() {
            reach.controller = Some(known.controller.parse()?);
            reach.services.extend(listed(&[], reach.controller.as_ref(), Origin::Token));
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
