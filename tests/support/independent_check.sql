-- Everything that independent_check compares besides the schema dump: one line per fact, to be sorted and compared with the other side's.
-- psql variables: side (source or target), ends_differ (the two servers' major versions differ), old_floats (one of the two is older
-- than 12), encoding (client encoding), recode (the two databases' encodings differ), owner, acl and data (on or off).
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset fieldsep '|'
set client_encoding = :'encoding';
set search_path = '';
set row_security = off;
set datestyle = 'ISO, MDY';
set intervalstyle = 'postgres';
set timezone = 'UTC';
set bytea_output = 'hex';
set xmloption = 'content';
set lc_monetary = 'C';
set enable_seqscan = on;
set statement_timeout = 0;
-- From 12 on, more than 0 means "the shortest text that reads back the same"; before, "so many digits more". 0 means the
-- same to both, at the price of the last digits; those are compared by float8send() below.
\if :old_floats
  set extra_float_digits = 0;
\else
  set extra_float_digits = 3;
\endif
-- jit would compile a query for every table.
select current_setting('server_version_num')::int >= 110000 as server_11,
       current_setting('server_version_num')::int >= 140000 as server_14,
       current_setting('server_version_num')::int >= 180000 as server_18
\gset
\if :server_11
  set jit = off;
\endif
begin transaction isolation level repeatable read, read only;

\if :data
-- ---------------------------------------------------------------- rows: count and sum of digests, of the leaves alone
-- The sum, unlike an XOR, notices a pair of equal rows that went missing.
-- Rows of partitions by hash of an enum are counted together: the hash is made of oids, which no copy keeps.
with recursive above as (
    select h.inhrelid as leaf, h.inhparent as ancestor, 1 as distance from pg_catalog.pg_inherits h
    union all
    select a.leaf, h.inhparent, a.distance + 1 from above a join pg_catalog.pg_inherits h on h.inhrelid = a.ancestor
), hashed as (
    select distinct on (a.leaf) a.leaf, a.ancestor
    from above a
    join pg_catalog.pg_partitioned_table p on p.partrelid = a.ancestor and p.partstrat = 'h'
    where exists (select from pg_catalog.pg_attribute k join pg_catalog.pg_type t on t.oid = k.atttypid
                  -- A domain of an enum is hashed as that.
                  join pg_catalog.pg_type b on b.oid = case t.typtype when 'd' then t.typbasetype else t.oid end
                  where k.attrelid = p.partrelid and k.attnum = any (p.partattrs::smallint[]) and b.typtype = 'e')
    order by a.leaf, a.distance desc
), counted as (
    select distinct coalesce(h.ancestor, c.oid) as oid, case when h.ancestor is null then 'only ' else '' end as scope
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join hashed h on h.leaf = c.oid
    where (c.relkind = 'r' or c.relkind = 'm' and c.relispopulated) and c.relpersistence <> 't'
      and n.nspname <> 'information_schema' and n.nspname !~ '^pg_(catalog|toast|temp_|toast_temp_)'
)
select format('select %L || count(*) || %L || coalesce(sum((''x'' || substr(md5(%s), 1, 15))::bit(60)::bigint::numeric), 0) from %s%s x',
         'rows ' || replace(c.oid::regclass::text, E'\n', '\n') || ' count ', ' sum ',
         case when :'recode' = 'on' then 'convert_to((x.*)::text' || coalesce(f.exact, '') || ', ''UTF8'')' else '(x.*)::text' || coalesce(f.exact, '') end,
         c.scope, c.oid::regclass)
from counted c
left join lateral (select string_agg(format(' || coalesce(%ssend(x.%I)::text, ''-'')', t.typname, a.attname), '' order by a.attname::text collate "C") as exact
                   from pg_catalog.pg_attribute a
                   join pg_catalog.pg_type t on t.oid = a.atttypid
                   where :'old_floats' = 'on' and a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and t.oid in ('float4'::regtype, 'float8'::regtype)) as f on true
order by c.oid::regclass::text collate "C"
\gexec

\endif

-- ---------------------------------------------------------------- sequences
select format('select %L || last_value || %L || is_called from %s', 'sequence ' || replace(c.oid::regclass::text, E'\n', '\n') || ' last_value ', ' is_called ', c.oid::regclass)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'S' and c.relpersistence <> 't'
order by c.oid::regclass::text collate "C"
\gexec

-- ---------------------------------------------------------------- large objects
select 'large object ' || m.oid || ' bytes ' || length(lo_get(m.oid)) || ' md5 ' || md5(lo_get(m.oid))
    || case when :'owner' = 'on' then ' owner ' || pg_get_userbyid(m.lomowner) else '' end
    || case when :'acl' = 'on' then ' acl ' || coalesce((select string_agg(pg_get_userbyid(e.grantor) || ' gave ' || case e.grantee when 0 then 'public' else pg_get_userbyid(e.grantee) end
           || ' ' || e.privilege_type || case when e.is_grantable then '*' else '' end, ', ' order by pg_get_userbyid(e.grantee), e.privilege_type, pg_get_userbyid(e.grantor))
         -- 'L' is acldefault's letter for large objects; with --no-owner the owner's own grants are his name again.
         from aclexplode(coalesce(m.lomacl, acldefault('L', m.lomowner))) e), '') else '' end
from pg_catalog.pg_largeobject_metadata m
order by m.oid;

-- ---------------------------------------------------------------- what a schema dump does not say, or says only in passing
select replace('relation ' || c.oid::regclass::text || ' kind ' || c.relkind::text || ' persistence ' || c.relpersistence::text || ' populated ' || c.relispopulated
    || ' row security ' || c.relrowsecurity || ' forced ' || c.relforcerowsecurity || ' replica identity ' || c.relreplident::text || ' access method ' || coalesce(nullif(am.amname, 'heap'), '-')
    || ' tablespace ' || coalesce(t.spcname, '-') || ' options ' || coalesce((select string_agg(o, ', ' order by o) from unnest(c.reloptions) o), '-')
    || ' partition ' || c.relispartition || ' bound ' || coalesce(pg_get_expr(c.relpartbound, c.oid), '-')
    || case when :'owner' = 'on' then ' owner ' || pg_get_userbyid(c.relowner) else '' end, E'\n', '\n') as fact
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_am am on am.oid = c.relam
left join pg_catalog.pg_tablespace t on t.oid = c.reltablespace
left join pg_catalog.pg_index i on i.indexrelid = c.oid
where c.relpersistence <> 't' and n.nspname <> 'information_schema' and n.nspname !~ '^pg_(catalog|toast|temp_|toast_temp_)'
  -- pg_dump leaves an invalid index behind, unless it is a partitioned one, whose validity depends on its partitions.
  and not (:'side' = 'source' and c.relkind = 'i' and not i.indisvalid);

select replace('column ' || c.oid::regclass::text || ' number ' || row_number() over (partition by c.oid order by a.attnum) || ' ' || quote_ident(a.attname) || ' type ' || format_type(a.atttypid, a.atttypmod)
    || ' not null ' || a.attnotnull || ' storage ' || case when c.relkind in ('i', 'I') then '-' else a.attstorage::text end || ' statistics ' || coalesce(nullif((to_jsonb(a) ->> 'attstattarget')::int, -1)::text, '-')
    || ' options ' || coalesce((select string_agg(o, ', ' order by o) from unnest(a.attoptions) o), '-') || ' identity ' || a.attidentity::text || ' local ' || a.attislocal || ' inherited ' || a.attinhcount
    || ' generated ' || coalesce(to_jsonb(a) ->> 'attgenerated', '') || ' compression ' || coalesce(to_jsonb(a) ->> 'attcompression', '')
    || ' collation ' || coalesce(case when a.attcollation <> y.typcollation then quote_ident(l.collname) end, '-') || ' default ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '-'), E'\n', '\n') as fact
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
-- (An index column's storage is the table column's at the time the index was made: no property of its own.)
join pg_catalog.pg_attribute a on a.attrelid = c.oid
join pg_catalog.pg_type y on y.oid = a.atttypid
left join pg_catalog.pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
left join pg_catalog.pg_collation l on l.oid = a.attcollation
left join pg_catalog.pg_index i on i.indexrelid = c.oid
where a.attnum > 0 and not a.attisdropped and c.relpersistence <> 't' and n.nspname <> 'information_schema' and n.nspname !~ '^pg_(catalog|toast|temp_|toast_temp_)'
  and not (:'side' = 'source' and c.relkind = 'i' and not i.indisvalid);

select replace('index ' || i.indexrelid::regclass::text || ' valid ' || i.indisvalid || ' ready ' || i.indisready || ' live ' || i.indislive || ' unique ' || i.indisunique || ' primary ' || i.indisprimary
    || ' immediate ' || i.indimmediate || ' exclusion ' || i.indisexclusion || ' clustered ' || i.indisclustered || ' replica identity ' || i.indisreplident || ' of '
    || coalesce((select h.inhparent::regclass::text from pg_catalog.pg_inherits h where h.inhrelid = i.indexrelid), '-') || ': ' || pg_get_indexdef(i.indexrelid), E'\n', '\n') as fact
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relpersistence <> 't' and n.nspname <> 'information_schema' and n.nspname !~ '^pg_(catalog|toast|temp_|toast_temp_)'
  and not (:'side' = 'source' and c.relkind = 'i' and not i.indisvalid);

-- NOT NULL became a constraint with a name of its own in 18; between versions it is compared as the columns' property. A foreign key
-- to a partitioned table has clones for its partitions, under names that each version makes up anew.
select replace('constraint ' || case when c.conrelid <> 0 then c.conrelid::regclass::text else format_type(c.contypid, null) end || ' ' || quote_ident(c.conname) || ' type ' || c.contype::text || ' valid ' || c.convalidated
    || ' deferrable ' || c.condeferrable || ' deferred ' || c.condeferred || ' enforced ' || coalesce(to_jsonb(c) ->> 'conenforced', 'true') || ' local ' || c.conislocal || ' inherited ' || c.coninhcount
    || ' no inherit ' || case when c.contype in ('f', 'p', 'u', 'x', 't') then '-' else c.connoinherit::text end || ' index ' || case when c.conindid = 0 then '-' else c.conindid::regclass::text end || ': ' || pg_get_constraintdef(c.oid), E'\n', '\n') as fact
from pg_catalog.pg_constraint c
join pg_catalog.pg_namespace n on n.oid = c.connamespace
where n.nspname <> 'information_schema' and n.nspname !~ '^pg_(catalog|toast|temp_|toast_temp_)' and not (:'ends_differ' = 'on' and (c.contype = 'n' or exists (select from pg_catalog.pg_constraint o where o.oid = (to_jsonb(c) ->> 'conparentid')::oid and o.conrelid = c.conrelid)));

-- The triggers behind foreign keys are named by oid: their constraint and function name them here. Between versions only those of ordinary
-- tables are compared: what partitions get has changed several times. (Before 13 a partition's clones of a trigger count as internal.)
select replace('trigger ' || t.tgrelid::regclass::text || ' '
    || case when t.tgisinternal and t.tgconstraint <> 0 then 'internal, of ' || quote_ident(c.conname) else quote_ident(t.tgname) end
    || ' calls ' || t.tgfoid::regprocedure::text || ' type ' || t.tgtype || ' enabled ' || t.tgenabled::text || ' deferrable ' || t.tgdeferrable || ' deferred ' || t.tginitdeferred
    || case when t.tgisinternal and t.tgconstraint <> 0 then '' else ': ' || replace(pg_get_triggerdef(t.oid), 'EXECUTE PROCEDURE', 'EXECUTE FUNCTION') end, E'\n', '\n')
from pg_catalog.pg_trigger t
left join pg_catalog.pg_constraint c on c.oid = t.tgconstraint
where not (:'ends_differ' = 'on' and t.tgisinternal and t.tgconstraint <> 0
           and exists (select from pg_catalog.pg_class r where r.oid in (c.conrelid, c.confrelid) and (r.relkind = 'p' or r.relispartition)));

select replace('rule ' || r.ev_class::regclass::text || ' ' || quote_ident(r.rulename) || ' event ' || r.ev_type::text || ' enabled ' || r.ev_enabled::text || ' instead ' || r.is_instead, E'\n', '\n') as fact
from pg_catalog.pg_rewrite r
join pg_catalog.pg_class c on c.oid = r.ev_class
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname <> 'information_schema' and n.nspname !~ '^pg_(catalog|toast|temp_|toast_temp_)';

select replace('event trigger ' || quote_ident(e.evtname) || ' on ' || e.evtevent || ' enabled ' || e.evtenabled::text || ' calls ' || e.evtfoid::regprocedure::text, E'\n', '\n') as fact from pg_catalog.pg_event_trigger e;
select replace('inheritance ' || h.inhrelid::regclass::text || ' of ' || h.inhparent::regclass::text || ' place ' || h.inhseqno, E'\n', '\n') as fact from pg_catalog.pg_inherits h;
select replace('enum ' || e.enumtypid::regtype::text || ' place ' || row_number() over (partition by e.enumtypid order by e.enumsortorder) || ' ' || quote_literal(e.enumlabel), E'\n', '\n') as fact from pg_catalog.pg_enum e;
-- (Between versions of the server an extension has the version that comes with the newer one.)
select replace('extension ' || quote_ident(e.extname) || ' version ' || case when :'ends_differ' = 'on' then '-' else e.extversion end || ' schema ' || quote_ident(n.nspname), E'\n', '\n') as fact
from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
-- plpgsql comes with the server.
where e.extname <> 'plpgsql';
select replace('policy ' || p.polrelid::regclass::text || ' ' || quote_ident(p.polname) || ' for ' || p.polcmd::text || ' permissive ' || p.polpermissive || ' using ' || coalesce(pg_get_expr(p.polqual, p.polrelid), '-') || ' check ' || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '-'), E'\n', '\n') as fact
from pg_catalog.pg_policy p;
commit;
