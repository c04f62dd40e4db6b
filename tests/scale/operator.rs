//! Somebody who changes the fabric, by the same call as the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use selvedge_proto::MAX_MESSAGE_BYTES;
use selvedge_proto::wire::fabric_client::FabricClient;
use selvedge_proto::wire::{self, ApplyOutcome};
use selvedge_tests::scale::{Document, Edit, Name};
use selvedge_topology::plan::Generation;
use tonic::transport::{Channel, Endpoint};

use super::clock::Moment;

/// Bytes of documents of one call; gRPC takes 63 MiB.
const PART: usize = 32 << 20;
/// No single call may take longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// A client of the controller.
pub(crate) struct Operator {
    endpoint: Endpoint,
    client: FabricClient<Channel>,
}

/// What came of a call.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    /// When it was made.
    pub(crate) begun: Moment,
    /// When it was answered.
    pub(crate) answered: Moment,
    /// The generation that it became.
    pub(crate) generation: Generation,
    /// Numbers of the nodes whose plan is another.
    pub(crate) nodes: BTreeSet<usize>,
}

impl Operator {
    /// Connects, as soon as a controller leads there.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())?.connect_timeout(Duration::from_secs(1));
        let client = connect(&endpoint).await?;
        Ok(Self { endpoint, client })
    }

    /// Connects again, to a controller that was started anew.
    pub(crate) async fn reconnect(&mut self) -> Result<()> {
        self.client = connect(&self.endpoint).await?;
        Ok(())
    }

    /// Applies a whole fabric, in as many calls as it takes. What came of it has the generation of the first: nodes that no later
    /// one concerns stay at that.
    pub(crate) async fn load(&mut self, documents: impl Iterator<Item = Document>) -> Result<Applied> {
        let (mut part, mut bytes, mut parts) = (Vec::new(), 0, Vec::new());
        for document in documents {
            bytes += document.text.len();
            part.push(document);
            if bytes > PART {
                parts.push(self.apply(Edit::of(std::mem::take(&mut part))).await?);
                bytes = 0;
            }
        }
        if !part.is_empty() {
            parts.push(self.apply(Edit::of(part)).await?);
        }
        let nodes = parts.iter().flat_map(|applied| applied.nodes.iter().copied()).collect();
        let (first, last) = parts.first().zip(parts.last()).context("there are no documents")?;
        let Applied { begun, generation, .. } = *first;
        Ok(Applied { begun, answered: last.answered, generation, nodes })
    }

    /// Makes an edit, and says what came of it.
    pub(crate) async fn apply(&mut self, edit: Edit) -> Result<Applied> {
        let request = request(edit);
        let begun = Moment::now();
        let answer = self.client.apply(request).await.context("the controller refuses")?.into_inner();
        let answered = Moment::now();
        ensure!(
            answer.outcome() == ApplyOutcome::Applied,
            "{:?}: {:#?}",
            answer.outcome(),
            answer.diagnostics.first()
        );
        let number = |node: &String| node.trim_start_matches('n').parse().context("a node that nobody knows");
        let nodes = answer.nodes_changed.iter().map(number).collect::<Result<_>>()?;
        Ok(Applied { begun, answered, generation: Generation(answer.generation), nodes })
    }
}

/// The call that makes an edit: documents that it does not name stay.
fn request(Edit { documents, removed, application: _ }: Edit) -> wire::ApplyRequest {
    let mut files = BTreeMap::<&str, String>::new();
    for Document { name, text } in &documents {
        *files.entry(name.kind).or_default() += text;
    }
    let file = |(kind, text)| wire::SourceFile { name: format!("{kind}.yaml"), text, line: 1 };
    let remove = |Name { kind, name }: Name| wire::DocumentName { kind: kind.to_owned(), name };
    wire::ApplyRequest {
        files: files.into_iter().map(file).collect(),
        partial: true,
        remove: removed.into_iter().map(remove).collect(),
        allow_unenforced: true,
        allow_lockout: true,
        ..wire::ApplyRequest::default()
    }
}

async fn connect(endpoint: &Endpoint) -> Result<FabricClient<Channel>> {
    let begun = std::time::Instant::now();
    loop {
        if let Ok(channel) = endpoint.connect().await {
            let mut client = FabricClient::new(channel)
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES);
            if client.version(wire::VersionRequest {}).await.is_ok() {
                return Ok(client);
            }
        }
        ensure!(begun.elapsed() < PATIENCE, "no controller answers within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
