-- What is in the schemas that are kept for notes of a run and of a follow: which of the tables in that of a run are its ledger's, is another
-- question (catalog/ledger_schema.sql). Not the table of a follow, which is ours by its name and its columns (follow/create.sql), nor what
-- an object brings along, nor what an extension is made of.
with ours (schema, name, columns) as (
    values ('pgconvoy_follow', 'state', 'changed_at format one state')
)
select n.nspname::text as schema,
       f.kind || ' ' || case f.kind when 'operator' then f.name::text else pg_catalog.quote_ident(f.name) end
           || coalesce('(' || pg_catalog.oidvectortypes(f.arguments) || ')', '') as object,
       case f.kind when 'table' then f.name::text end as table_name
from (
    select c.tableoid, c.oid, c.relnamespace,
           case c.relkind when 'S' then 'sequence' when 'v' then 'view' when 'm' then 'materialized view'
                          when 'f' then 'foreign table' else 'table' end::text,
           c.relname, null::pg_catalog.oidvector
    from pg_catalog.pg_class c
    where c.relkind in ('r', 'p', 'S', 'v', 'm', 'f')
    union all
    select p.tableoid, p.oid, p.pronamespace, 'function', p.proname, p.proargtypes
    from pg_catalog.pg_proc p
    union all
    -- Not the row type of a table.
    select t.tableoid, t.oid, t.typnamespace, case t.typtype when 'd' then 'domain' else 'type' end, t.typname, null
    from pg_catalog.pg_type t
    left join pg_catalog.pg_class r on r.oid = t.typrelid
    where t.typrelid = 0 or r.relkind = 'c'
    union all
    select o.tableoid, o.oid, o.oprnamespace, 'operator', o.oprname, null from pg_catalog.pg_operator o
    union all
    select o.tableoid, o.oid, o.opcnamespace, 'operator class', o.opcname, null from pg_catalog.pg_opclass o
    union all
    select o.tableoid, o.oid, o.opfnamespace, 'operator family', o.opfname, null from pg_catalog.pg_opfamily o
    union all
    select c.tableoid, c.oid, c.collnamespace, 'collation', c.collname, null from pg_catalog.pg_collation c
    union all
    select c.tableoid, c.oid, c.connamespace, 'conversion', c.conname, null from pg_catalog.pg_conversion c
    union all
    select t.tableoid, t.oid, t.cfgnamespace, 'text search configuration', t.cfgname, null from pg_catalog.pg_ts_config t
    union all
    select t.tableoid, t.oid, t.dictnamespace, 'text search dictionary', t.dictname, null from pg_catalog.pg_ts_dict t
    union all
    select t.tableoid, t.oid, t.prsnamespace, 'text search parser', t.prsname, null from pg_catalog.pg_ts_parser t
    union all
    select t.tableoid, t.oid, t.tmplnamespace, 'text search template', t.tmplname, null from pg_catalog.pg_ts_template t
    union all
    select s.tableoid, s.oid, s.stxnamespace, 'statistics', s.stxname, null from pg_catalog.pg_statistic_ext s
    union all
    select e.tableoid, e.oid, e.extnamespace, 'extension', e.extname, null from pg_catalog.pg_extension e
) as f (class, oid, namespace, kind, name, arguments)
join pg_catalog.pg_namespace n on n.oid = f.namespace
where n.nspname in ('pgconvoy', 'pgconvoy_follow')
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = f.class and d.objid = f.oid and d.objsubid = 0 and d.deptype in ('i', 'e'))
  and not exists (select from ours o
                  where f.kind = 'table' and o.schema = n.nspname and o.name = f.name
                    and o.columns = (select pg_catalog.string_agg(a.attname::text, ' ' order by a.attname)
                                     from pg_catalog.pg_attribute a
                                     where a.attrelid = f.oid and a.attnum > 0 and not a.attisdropped))
order by 1, 2
