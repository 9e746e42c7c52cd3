//! tbd
use super::{RestoreOptions, Toc};
use crate::model::Difference;
/// tbd
#[derive(Debug, Clone)]
pub struct CompareOptions {
    /// x
    pub restore: RestoreOptions,
}
/// tbd
pub fn compare(_s: &Toc, _t: &Toc, _o: &CompareOptions) -> Vec<Difference> {
    let _ = super::lines::diff("", "");
    Vec::new()
}
