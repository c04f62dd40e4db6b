//! The desired state as the controller has it: documents, read again here, and identities.

use selvedge_proto::wire;
use selvedge_topology::documents::{Document, Excerpt, Loaded, load_excerpts};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;

use super::CliError;
use super::client::{Client, refused};

/// The desired state.
pub(super) struct Snapshot {
    pub(super) model: Model,
    pub(super) documents: Vec<Document>,
    pub(super) identities: IdentityTable,
}

/// The documents of a generation, or of the newest (0), and its number; 0 and none where there is no generation.
pub(super) async fn excerpts_of(
    client: &mut Client,
    generation: u64,
) -> Result<(u64, Vec<Excerpt>), CliError> {
    let request = wire::DocumentsRequest { generation };
    let mut answers = client.documents(request).await.map_err(refused)?.into_inner();
    let excerpt = |wire::SourceFile { name, text, line }| Excerpt {
        file: name.into(),
        line: line.max(1),
        text: text.into(),
    };
    let (mut of, mut excerpts) = (generation, Vec::new());
    while let Some(wire::DocumentsResponse { generation, files }) =
        answers.message().await.map_err(refused)?
    {
        of = generation;
        excerpts.extend(files.into_iter().map(excerpt));
    }
    Ok((of, excerpts))
}

/// Asks for everything of the newest generation.
pub(super) async fn snapshot(client: &mut Client) -> Result<Snapshot, CliError> {
    snapshot_of(client, 0).await
}

/// Asks for everything of a generation, or of the newest (0).
pub(super) async fn snapshot_of(client: &mut Client, generation: u64) -> Result<Snapshot, CliError> {
    let (_, excerpts) = excerpts_of(client, generation).await?;
    if excerpts.is_empty() {
        return Err(CliError::NothingApplied);
    }
    let Loaded { model, documents, diagnostics } = load_excerpts(&excerpts);
    let first = || diagnostics.first().map(|finding| finding.message.clone()).unwrap_or_default();
    let model = model.ok_or_else(|| CliError::Skew { first: first() })?;
    Ok(Snapshot { model, documents, identities: identities(client).await? })
}

/// Every identity that was ever given out.
pub(super) async fn identities(client: &mut Client) -> Result<IdentityTable, CliError> {
    let response = client.identities(wire::IdentitiesRequest {}).await.map_err(refused)?.into_inner();
    let mut table = IdentityTable::default();
    for record in response.identities {
        let (identity, key) = record.try_into()?;
        table.insert(key, identity)?;
    }
    Ok(table)
}
