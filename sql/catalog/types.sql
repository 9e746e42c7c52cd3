-- The types given by OID, and all types they are made of: elements, base types, fields, subtypes of ranges.
with recursive made_of as (
    select t.oid, t.typtype, t.typelem, t.typlen, t.typbasetype, t.typrelid
    from pg_catalog.pg_type t
    where t.oid = any ($1)
    union
    select t.oid, t.typtype, t.typelem, t.typlen, t.typbasetype, t.typrelid
    from made_of m
    cross join lateral (
        select m.typelem as oid where m.typelem <> 0 and m.typlen = -1
        union all
        select m.typbasetype where m.typbasetype <> 0
        union all
        select a.atttypid
        from pg_catalog.pg_attribute a
        where m.typtype = 'c' and a.attrelid = m.typrelid and a.attnum > 0 and not a.attisdropped
        union all
        select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = m.oid
        union all
        select (pg_catalog.to_jsonb(r) ->> 'rngtypid')::oid
        from pg_catalog.pg_range r
        where m.typtype = 'm' and (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::oid = m.oid
    ) part
    join pg_catalog.pg_type t on t.oid = part.oid
)
select t.oid,
       pg_catalog.format_type(t.oid, null) as name,
       n.nspname::text as schema,
       t.typtype::text as kind,
       case when t.typelem <> 0 and t.typlen = -1 then t.typelem end as element,
       case when t.typbasetype <> 0 then t.typbasetype end as base,
       t.typsend::oid <> 0 and t.typreceive::oid <> 0 as has_binary,
       array(select a.atttypid
             from pg_catalog.pg_attribute a
             where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
             order by a.attnum) as fields,
       (select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = t.oid) as subtype,
       (select (pg_catalog.to_jsonb(r) ->> 'rngtypid')::oid
        from pg_catalog.pg_range r
        where t.typtype = 'm' and (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::oid = t.oid) as range,
       (select e.extname::text
        from pg_catalog.pg_depend d
        join pg_catalog.pg_extension e on e.oid = d.refobjid
        where d.classid = 'pg_catalog.pg_type'::regclass and d.objid = t.oid and d.deptype = 'e'
          and d.refclassid = 'pg_catalog.pg_extension'::regclass
        limit 1) as extension
from made_of m
join pg_catalog.pg_type t on t.oid = m.oid
left join pg_catalog.pg_namespace n on n.oid = t.typnamespace
