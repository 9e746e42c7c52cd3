-- Tables of users with rows of their own: whether replication carries them, by what it finds their rows, what keeps their owner from
-- writing them, and what their columns are.
select n.nspname::text as schema,
       c.relname::text as name,
       c.relpersistence = 'p' as is_logged,
       c.relreplident::text as identity,
       (select pg_catalog.quote_ident(i.relname)
        from pg_catalog.pg_index x
        join pg_catalog.pg_class i on i.oid = x.indexrelid
        where x.indrelid = c.oid and x.indisreplident and c.relreplident = 'i') as identity_index,
       case c.relreplident::text
            when 'f' then true
            when 'n' then false
            when 'i' then exists (select from pg_catalog.pg_index x where x.indrelid = c.oid and x.indisreplident and x.indisvalid)
            else exists (select from pg_catalog.pg_index x where x.indrelid = c.oid and x.indisprimary and x.indisvalid)
       end as has_identity,
       c.relrowsecurity and c.relforcerowsecurity as forced_rls,
       o.rolsuper or o.rolbypassrls as owner_bypasses_rls,
       (select pg_catalog.md5(coalesce(pg_catalog.string_agg(
                   a.attname::text || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull::text,
                   ', ' order by a.attname), ''))
        from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_roles o on o.oid = c.relowner
where c.relkind = 'r'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by n.nspname, c.relname
