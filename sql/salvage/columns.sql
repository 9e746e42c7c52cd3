-- The columns of each table, whether they may be NULL (from 18 on, a constraint that is not valid promises nothing), and the kind of their type. Where a
-- server may show of a damaged value what none takes back, that type is named, and the one by way of which it is taken back: of domains only
-- those that were checked for every value, by nothing but the server's own functions. By way of JSON, because servers before 12 know no
-- generated columns.
select a.attrelid as relation,
       a.attname::text as name,
       a.attnum::int4 as number,
       a.attnotnull or t.typtype = 'd' and t.typnotnull as not_null,
       not (pg_catalog.current_setting('server_version_num')::int4 >= 180000
            and exists (select from pg_catalog.pg_constraint k
                        where k.conrelid = a.attrelid and k.contype = 'n' and not k.convalidated and a.attnum = any (k.conkey))) as is_never_null,
       coalesce((pg_catalog.to_jsonb(a) ->> 'atthasmissing')::bool, false) as has_missing,
       a.atttypid as type_oid,
       a.atttypmod as modifier,
       coalesce(pg_catalog.to_jsonb(a) ->> 'attgenerated', '') <> '' as generated,
       t.typcategory::text as category,
       t.typname::text as type_name,
       t.typtype = 'd' as is_domain,
       case when t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
             and t.typname in ('date', 'time', 'timetz', 'interval', 'inet', 'cidr', 'json')
            then 'pg_catalog.' || t.typname
            when b.typtype <> 'd' and checked.by_the_server
            then pg_catalog.format_type(t.oid, -1) end as taken_back,
       case when b.oid is not null then pg_catalog.format_type(b.oid, -1) else 'pg_catalog.text' end as by_way_of
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_type b on b.oid = t.typbasetype and t.typtype = 'd'
left join (select k.contypid as domain,
                  pg_catalog.bool_and(k.convalidated
                                      and not exists (select from pg_catalog.pg_depend d
                                                      where d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and d.objid = k.oid
                                                        and d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass,
                                                                             'pg_catalog.pg_operator'::pg_catalog.regclass))) as by_the_server
           from pg_catalog.pg_constraint k
           where k.contypid <> 0
           group by k.contypid) checked on checked.domain = t.oid
where c.relkind in ('r', 'm')
  and c.relpersistence <> 't'
  and (n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow') or c.oid = 2613)
  and a.attnum > 0
  and not a.attisdropped
order by a.attrelid, a.attnum
