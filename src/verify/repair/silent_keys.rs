//! Foreign keys whose triggers fire even where triggers are not in force: who has a subscriber check its keys enables them always.
//! They would check rows one by one, and cascade to rows that are as they should be. For the time that rows are written they are
//! disabled.

use crate::model::{QualifiedName, quote_literal};

/// Where the transaction keeps the statements that enable them again as they were.
const KEPT_IN: &str = "pgconvoy.enable_triggers";

/// Disables those on a table, whose names the server has made up.
pub(super) fn disable(on: &QualifiedName) -> String {
    let on = quote_literal(&on.to_string());
    let block = format!(
        "declare one record; begin for one in \
         select t.tgname, case t.tgenabled when 'A' then 'always' else 'replica' end as mode from pg_catalog.pg_trigger t \
         join pg_catalog.pg_constraint k on k.oid = t.tgconstraint \
         where t.tgrelid = {on}::pg_catalog.regclass and k.contype = 'f' and t.tgenabled in ('A', 'R') loop \
         execute pg_catalog.format('alter table only %s disable trigger %I', {on}, one.tgname); \
         perform pg_catalog.set_config('{KEPT_IN}', pg_catalog.concat(pg_catalog.current_setting('{KEPT_IN}', true), \
         pg_catalog.format('alter table only %s enable %s trigger %I;', {on}, one.mode, one.tgname)), true); \
         end loop; end",
    );
    format!("do {}", quote_literal(&block))
}

/// Enables all of them again.
pub(super) fn enable() -> String {
    let block =
        format!("begin execute coalesce(pg_catalog.current_setting('{KEPT_IN}', true), ''); end");
    format!("do {}", quote_literal(&block))
}
