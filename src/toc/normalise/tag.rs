//! What an entry says of itself beside its definition, where that depends on the server's version.

use std::borrow::Cow;

use super::super::Text;
use super::{Versions, with_old_quotes};

/// Whether two table access methods are the same, although servers before 12 have none to name.
pub(in super::super) fn same_access_method(
    source: Option<&Text>,
    target: Option<&Text>,
    versions: Versions,
) -> bool {
    let unnamed = match (source, target) {
        (None, Some(named)) | (Some(named), None) => *named == "heap",
        _ => false,
    };
    source == target || (unnamed && versions.straddle(12))
}

/// What an entry's tag is called in both versions. Tags of grants and comments on procedures name the arguments with their
/// modes, and since 14 that includes `IN`. Signatures are in the server's words: it quotes names in them (see `keywords`).
pub(in super::super) fn same_tag<'a>(
    desc: &str,
    tag: &'a [u8],
    versions: Versions,
) -> Cow<'a, [u8]> {
    let is_attached = matches!(desc, "ACL" | "COMMENT" | "SECURITY LABEL");
    let has_signature = matches!(
        desc,
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" | "CAST" | "TRANSFORM"
    );
    let names_arguments = is_attached && tag.starts_with(b"PROCEDURE ") && versions.straddle(14);
    let tag = if is_attached || has_signature {
        with_old_quotes(tag, versions)
    } else {
        Cow::Borrowed(tag)
    };
    if !names_arguments {
        return tag;
    }
    let mut without = Vec::with_capacity(tag.len());
    let mut rest = &*tag;
    while let Some((&byte, behind)) = rest.split_first() {
        let begins = without.ends_with(b"(") || without.ends_with(b", ");
        if begins && rest.starts_with(b"IN ") {
            rest = &rest[3..];
        } else {
            without.push(byte);
            rest = behind;
        }
    }
    Cow::Owned(without)
}
