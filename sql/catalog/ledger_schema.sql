-- Whose the schema is that has the ledger's name, if there is one: the one place where that is decided. A run's ledger is known by its table
-- run, and there by the columns that every version's has (ledger/create.sql); a run's sign, by its comment (BEGIN in
-- src/ledger/sign.rs), and by having nothing in it, or nothing but what DROP SCHEMA takes along without CASCADE. All else is somebody's
-- own. Whoever connects may see all of this.
select case when (select count(*)
                  from pg_catalog.pg_class c
                  join pg_catalog.pg_attribute a on a.attrelid = c.oid
                  where c.relnamespace = n.oid and c.relname = 'run' and c.relkind = 'r'
                    and a.attname in ('run', 'pgconvoy_version') and a.atttypid = 'pg_catalog.text'::pg_catalog.regtype) = 2 then 'ledger'
            when pg_catalog.obj_description(n.oid, 'pg_namespace') like 'This database was being emptied for an unfinished pgconvoy run: %'
                 and not exists (select from pg_catalog.pg_depend d
                                 where d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and d.refobjid = n.oid
                                   and d.deptype = 'n') then 'sign'
            else 'another' end as whose
from pg_catalog.pg_namespace n
where n.nspname = 'pgconvoy'
