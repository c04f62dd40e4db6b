//! A thread in the namespace of one place, that listens, asks, and notes what arrives.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError, mpsc as replies};
use std::thread;

use futures::stream::{self, StreamExt};
use tokio::sync::mpsc as questions;

use super::ask::{self, Question, Reply};
use super::listen::listen;
use super::report::Finding;
use super::sniff::{Arrival, Sniffer};
use super::{ProbeError, Probed};
use crate::kernel::namespace::Namespace;
use crate::names::NamespaceName;
use crate::registry::Place;

/// How many flows a place has under way at once.
const AT_ONCE: usize = 256;

/// All first packets that arrived anywhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookout(Arc<Mutex<HashSet<Arrival>>>);

impl Lookout {
    pub(super) fn note(&self, arrival: Arrival) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(arrival);
    }

    /// Tells each finding whether its packets arrived.
    pub(super) fn complete(&self, findings: &mut [Finding]) {
        let arrived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        findings.iter_mut().for_each(|finding| finding.complete(&arrived));
    }
}

/// What the thread tells the prober.
enum Told {
    Ready(Result<(), ProbeError>),
    Replies(Vec<Reply>),
}

/// The handle of such a thread; it ends when this is dropped.
pub(super) struct Station {
    namespace: NamespaceName,
    questions: questions::UnboundedSender<Vec<Question>>,
    told: replies::Receiver<Told>,
}

impl Station {
    /// Starts one.
    pub(super) fn start(
        place: &Place,
        probed: &BTreeSet<Probed>,
        lookout: &Lookout,
    ) -> Result<Self, ProbeError> {
        let namespace = Namespace::open(&place.namespace)?;
        let (ask, asked) = questions::unbounded_channel();
        let (tell, told) = replies::channel();
        let (own, probed, lookout) = (place.clone(), probed.clone(), lookout.clone());
        let work = move || {
            if let Err(error) = inhabit(&namespace, &own, &probed, &lookout, asked, &tell) {
                // Nobody hears it if the prober has given up already.
                let _ = tell.send(Told::Ready(Err(error)));
            }
        };
        let error = |source| ProbeError::Thread { namespace: place.namespace.clone(), source };
        thread::Builder::new().name(place.target.to_string()).spawn(work).map_err(error)?;
        Ok(Self { namespace: place.namespace.clone(), questions: ask, told })
    }

    fn ended(&self) -> ProbeError {
        ProbeError::Ended { namespace: self.namespace.clone() }
    }

    /// Waits until it listens.
    pub(super) fn ready(&self) -> Result<(), ProbeError> {
        match self.told.recv() {
            Ok(Told::Ready(ready)) => ready,
            Ok(Told::Replies(_)) | Err(_) => Err(self.ended()),
        }
    }

    /// Has it ask.
    pub(super) fn ask(&self, questions: Vec<Question>) -> Result<(), ProbeError> {
        self.questions.send(questions).map_err(|_| self.ended())
    }

    /// Waits for the replies to what it was last asked.
    pub(super) fn replies(&self) -> Result<Vec<Reply>, ProbeError> {
        match self.told.recv() {
            Ok(Told::Replies(replies)) => Ok(replies),
            Ok(Told::Ready(_)) | Err(_) => Err(self.ended()),
        }
    }
}

/// The thread's life. Sockets belong to the namespace that their thread is in, so everything happens here.
fn inhabit(
    namespace: &Namespace,
    place: &Place,
    probed: &BTreeSet<Probed>,
    lookout: &Lookout,
    mut questions: questions::UnboundedReceiver<Vec<Question>>,
    tell: &replies::Sender<Told>,
) -> Result<(), ProbeError> {
    namespace.enter()?;
    let error = |source| ProbeError::Thread { namespace: place.namespace.clone(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(error)?;
    runtime.block_on(async {
        let failed = |what: String| {
            move |source| ProbeError::Listen { namespace: place.namespace.clone(), what, source }
        };
        let sniffer = Sniffer::open().map_err(failed("all packets".to_owned()))?;
        tokio::spawn(sniffer.run(place.addresses.clone(), lookout.clone()));
        for &address in &place.addresses {
            for &probed in probed {
                listen(address, probed, place.target.to_string())
                    .await
                    .map_err(failed(probed.to_string()))?;
            }
        }
        // A send fails only when the prober has given up; then the questions end, too.
        let _ = tell.send(Told::Ready(Ok(())));
        while let Some(asked) = questions.recv().await {
            let replies = stream::iter(asked).map(ask::ask).buffer_unordered(AT_ONCE).collect().await;
            let _ = tell.send(Told::Replies(replies));
        }
        Ok(())
    })
}
