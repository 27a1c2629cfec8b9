//! The report that an argument names, for every verb that works on one.

use super::output::message;
use super::state_dir::StateDir;
use crate::store::{FindError, Id, Store};

/// Finds a report by its id, the beginning of it, `latest`, or its position. None: there is no such report, which has
/// been said.
pub(super) fn report(name: &str, state_dir: StateDir) -> anyhow::Result<Option<(Store, Id)>> {
    let state_dir = state_dir.resolve_reading()?;
    let Some(store) = Store::open_existing(&state_dir)? else {
        message(format_args!(
            "no report '{name}': there are no reports in {}",
            state_dir.display()
        ));
        return Ok(None);
    };
    match store.find(name) {
        Ok(id) => {
            store.examine(&id)?;
            Ok(Some((store, id)))
        }
        Err(FindError::Store(error)) => Err(error.into()),
        Err(error) => {
            message(error);
            Ok(None)
        }
    }
}
