//! The desired state as the controller has it: documents, read again here, and identities.

use selvedge_proto::wire;
use selvedge_topology::documents::{Document, Loaded, SourceFile, load};
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

/// The documents of the newest generation, file by file; empty where there is none.
pub(super) async fn files(client: &mut Client) -> Result<Vec<SourceFile>, CliError> {
    let request = wire::DocumentsRequest { generation: 0 };
    let response = client.documents(request).await.map_err(refused)?.into_inner();
    let file = |wire::SourceFile { name, text }| SourceFile { name, text };
    Ok(response.files.into_iter().map(file).collect())
}

/// Asks for everything.
pub(super) async fn snapshot(client: &mut Client) -> Result<Snapshot, CliError> {
    let files = files(client).await?;
    if files.is_empty() {
        return Err(CliError::NothingApplied);
    }
    let Loaded { model, documents, diagnostics } = load(&files);
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
