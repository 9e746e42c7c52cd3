-- What would act on rows that are loaded: triggers of users and forced row security, by table.
-- $1 and $2: schemas and names of the tables.
select n.nspname::text as schema, c.relname::text as name, c.relforcerowsecurity as forced,
       array(select t.tgname::text
               from pg_catalog.pg_trigger t
              where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D'
              order by t.tgname) as triggers,
       array(select t.tgenabled::text
               from pg_catalog.pg_trigger t
              where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D'
              order by t.tgname) as states
  from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) as wanted (schema, name)
  join pg_catalog.pg_namespace n on n.nspname = wanted.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
 where c.relforcerowsecurity
    or exists (select
                 from pg_catalog.pg_trigger t
                where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D');
