//! The name of this node: kept in the data folder, so that a node that was
//! killed knows its own claims when it comes back.

use std::path::Path;

use anyhow::Context as _;

/// Reads the name, or makes one.
pub(super) fn name(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("node-id");
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
        _ => {}
    }
    let name = uuid::Uuid::new_v4().to_string();
    std::fs::create_dir_all(data_dir)
        .and_then(|()| std::fs::write(&path, &name))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(name)
}
