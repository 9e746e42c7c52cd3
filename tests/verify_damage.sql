-- What can be wrong with a copy of the zoo, and what the final check must say of it. Each damage is on objects of its own, so
-- that all of them are done to one copy, and what is found must be just what is expected here.

-- damage: an index is gone
-- expect: Missing index zoo.indexed_hash
drop index zoo.indexed_hash;

-- damage: an index is not valid
-- expect: Invalid index zoo.indexed_brin
update pg_catalog.pg_index set indisvalid = false where indexrelid = 'zoo.indexed_brin'::regclass;

-- damage: an index too many
-- expect: Extra index zoo.one_too_many
create index one_too_many on zoo.arrays (i);

-- damage: an index with another definition
-- expect: Different index zoo.measured_old_day
drop index zoo.measured_old_day;
create index measured_old_day on zoo.measured_old (day);

-- damage: a foreign key is gone
-- expect: Missing fk constraint zoo.egg pair
alter table zoo.egg drop constraint pair;

-- damage: a foreign key is not validated
-- expect: Invalid fk constraint zoo.egg hatches
alter table zoo.egg drop constraint hatches;
alter table zoo.egg add constraint hatches foreign key (chicken) references zoo.chicken on update restrict not valid;

-- damage: a foreign key is validated that was not
-- expect: Different fk constraint zoo.dangling dangling_egg
delete from zoo.dangling;
alter table zoo.dangling validate constraint dangling_egg;

-- damage: a primary key is gone
-- expect: Missing constraint zoo.toasted toasted_pkey
-- expect: Different table zoo.toasted
alter table zoo.toasted drop constraint toasted_pkey, alter id drop not null;

-- damage: a unique constraint too many
-- expect: Extra constraint zoo.duplicates only_once
truncate zoo.duplicates;
alter table zoo.duplicates add constraint only_once unique (a);

-- damage: a check constraint is gone
-- expect: Different table zoo.measured_new
-- expect: Missing check constraint zoo.measured_new sane
alter table zoo.measured_new drop constraint sane;

-- damage: a sequence stands elsewhere
-- expect: Different sequence zoo.restarted
select setval('zoo.restarted', 5);

-- damage: a sequence's value was not handed out, and counts as if it were
-- expect: Different sequence zoo.not_called
select setval('zoo.not_called', 500, true);

-- damage: a sequence is gone
-- expect: Missing sequence zoo.untouched
-- expect: Missing acl SEQUENCE untouched in schema zoo
drop sequence zoo.untouched;

-- damage: another owner
-- expect: Different table zoo.searched
alter table zoo.searched owner to zoo_owner;

-- damage: a grant is gone
-- expect: Different acl TABLE egg in schema zoo
revoke truncate on zoo.egg from "zoo ""quoted"" Öwner";

-- damage: a grant too many
-- expect: Extra acl TABLE arrays in schema zoo
grant select on zoo.arrays to public;

-- damage: default privileges are gone
-- expect: Missing default acl DEFAULT PRIVILEGES FOR SEQUENCES in schema "empty schema"
alter default privileges for role zoo_owner in schema "empty schema" revoke usage on sequences from public;

-- damage: another comment
-- expect: Different comment TABLE measured in schema zoo
comment on table zoo.measured is 'something else';

-- damage: a comment is gone
-- expect: Missing comment VIEW plain in schema zoo
comment on view zoo.plain is null;

-- damage: a policy is gone
-- expect: Missing policy zoo.secured ins
drop policy ins on zoo.secured;

-- damage: row security is off
-- expect: Missing row security zoo.secured_without_policy
alter table zoo.secured_without_policy disable row level security;

-- damage: row security is forced on the owner
-- expect: Different table zoo.rule_log
alter table zoo.rule_log force row level security;

-- damage: a trigger is disabled
-- expect: Different trigger zoo.triggered transition
alter table zoo.triggered disable trigger transition;

-- damage: a trigger is enabled that was not
-- expect: Different trigger zoo.measured_old part_only
alter table zoo.measured_old enable trigger part_only;

-- damage: a trigger is gone
-- expect: Missing trigger zoo.triggered suppress
drop trigger suppress on zoo.triggered;

-- damage: a rule is enabled that was not
-- expect: Different rule zoo.ruled two_things
alter table zoo.ruled enable rule two_things;

-- damage: an event trigger is enabled that was not
-- expect: Different event trigger zoo_disabled
alter event trigger zoo_disabled enable;

-- damage: no replica identity
-- expect: Different table zoo.identity_full
alter table zoo.identity_full replica identity default;

-- damage: another statistics target
-- expect: Different table zoo.unique_by_index
alter table zoo.unique_by_index alter t set statistics 77;

-- damage: another statistics target of a statistics object
-- expect: Different statistics zoo.indexed_stats
alter statistics zoo.indexed_stats set statistics 44;

-- damage: another storage
-- expect: Different table zoo.defaults
alter table zoo.defaults alter t set storage external;

-- damage: another compression
-- expect: Different table zoo.holes
alter table zoo.holes alter a set compression pglz;

-- damage: not clustered
-- expect: Different table zoo.identity_bare_index
-- expect: Different index zoo.identity_bare_index_ix
alter table zoo.identity_bare_index set without cluster;

-- damage: logged
-- expect: Different table zoo.unlogged
-- expect: Different sequence zoo.unlogged_id_seq
alter table zoo.unlogged set logged;

-- damage: an enum with a value more
-- expect: Different type zoo.empty_enum
alter type zoo.empty_enum add value 'new';

-- damage: a view that says something else
-- expect: Different view zoo.nested_1
create or replace view zoo.nested_1 as select * from zoo.plain where n > 3;

-- damage: a function that does something else
-- expect: Different function zoo.is_even(integer)
create or replace function zoo.is_even(int) returns boolean language sql immutable as $$ select $1 % 2 = 1 $$;

-- damage: a function is gone
-- expect: Missing function zoo.set_of()
drop function zoo.set_of();

-- damage: another default
-- expect: Different table zoo.chicken
alter table zoo.chicken alter kind set default 'broiler';

-- damage: a column is gone
-- expect: Different table zoo.nulls
alter table zoo.nulls drop column "no name";

-- damage: a column of another type
-- expect: Different table zoo.adopted
alter table zoo.adopted alter extra type varchar(100);

-- damage: a table is gone
-- expect: Missing table zoo.no_columns_no_rows
drop table zoo.no_columns_no_rows;

-- damage: a table too many
-- expect: Extra table zoo.one_more
create table zoo.one_more ();

-- damage: a partition is detached
-- expect: Missing table attach zoo.measured_null
alter table zoo.measured detach partition zoo.measured_null;

-- damage: a materialized view is not populated
-- expect: Different materialized view zoo."a summary of the summary"
refresh materialized view zoo."a summary of the summary" with no data;

-- damage: a table is no longer published
-- expect: Missing publication table zoo.zoo_some serials
alter publication zoo_some drop table zoo.serials;

-- damage: a schema too many
-- expect: Extra schema more
create schema more;

-- damage: another search configuration
-- expect: Different text search configuration zoo."Config %"
alter text search configuration zoo."Config %" drop mapping for url;

-- damage: a domain without a constraint
-- expect: Different domain zoo.labels
alter domain zoo.labels drop constraint labels_check;

-- damage: a domain with a constraint that is not validated
-- expect: Extra check constraint zoo.loose later
-- expect: Different domain zoo.loose
alter domain zoo.loose add constraint later check (value <> 'later') not valid;

-- damage: a large object of another owner
-- expect: Different large object 990001
alter large object 990001 owner to "zoo Keeper";

-- damage: a large object with fewer grants
-- expect: Different large object 990003
revoke grant option for select on large object 990003 from zoo_visitor;

-- damage: a large object without grants
-- expect: Different large object 990004
revoke select on large object 990004 from public;

-- damage: a large object with a comment
-- expect: Different large object 990005
comment on large object 990005 is 'new';

-- damage: a large object is gone
-- expect: Missing large object 991007
select lo_unlink(991007);

-- damage: a large object too many
-- expect: Extra large object 990099
select lo_create(990099);
