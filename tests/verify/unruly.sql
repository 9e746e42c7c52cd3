-- The zoo for the matrix of damages: with what the zoo lacks, and without most of what it has many of, since it is read
-- hundreds of times. Run after zoo.sql.
\set ON_ERROR_STOP on
\set QUIET on
set search_path = '';
set client_min_messages = warning;

create table zoo.unruly (id int primary key, b bpchar, c varchar(10));
insert into zoo.unruly values (1, 'x', 'y'), (2, 'x  ', 'x  ');
create table zoo.loose_sum (a int, twice int generated always as (a * 2) stored);
insert into zoo.loose_sum values (1), (2);
create collation zoo.unused (locale = 'C');

-- Of the objects with awkward names, those of three names will do.
do $$
  declare
    one record;
    kept constant text := '(new\nline|quo"te"s|select)';
    awkward constant oid := (select oid from pg_catalog.pg_namespace where nspname like 'Zoo.N%');
  begin
    for one in
      select 1, 'table' as kind, c.oid::regclass::text as name from pg_catalog.pg_class c
      where c.relnamespace = awkward and c.relkind = 'r' and c.relname !~ kept
      union all
      select 2, 'sequence', c.oid::regclass::text from pg_catalog.pg_class c
      where c.relnamespace = awkward and c.relkind = 'S' and c.relname ~ '^s[0-9]' and c.relname !~ kept
      union all
      select 3, 'type', t.oid::regtype::text from pg_catalog.pg_type t
      where t.typnamespace = awkward and t.typtype = 'e' and t.typname !~ kept
      union all
      select 4, 'function', p.oid::regprocedure::text from pg_catalog.pg_proc p
      where p.pronamespace = awkward and p.proname !~ kept
      order by 1
    loop
      execute format('drop %s %s cascade', one.kind, one.name);
    end loop;
  end
$$;
select lo_unlink(oid) from pg_catalog.pg_largeobject_metadata where oid between 991011 and 992499;
update zoo.toasted set extended = left(extended, 1500000) where id in (1, 2);
update zoo.toasted set external = left(external, 1000000) where id = 3;
update zoo.toasted set main = left(main, 50000) where id = 4;
update zoo.toasted set b = substr(b, 1, 500000) where id = 5;
vacuum full zoo.toasted;
