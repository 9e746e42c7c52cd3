-- Changes of every kind.
update shop.customers set email = 'new' || id || '@example.org' where id in (5, 6);
update shop.customers set id = 100001 where id = 7;
delete from shop.customers where id in (19, 20, 21);
insert into shop.customers (id, email, parent) values (200000, 'late@example.org', 100001);
update shop.orders set note = 'changed', total = 5 where id % 4000 = 1;
insert into shop.orders (customer, note, total) values (200000, 'late', 7);
insert into shop.orders (id, customer, note, total) overriding system value values (-5, 1, null, null);

update shop.slots set place = -place where id in (1, 2, 3);
update shop.slots set place = case id when 1 then 2 when 2 then 3 else 1 end where id in (1, 2, 3);
begin;
update shop.slots set label = case id when 10 then 'l11' when 11 then 'l10' end where id in (10, 11);
commit;

update shop.tags set b = b || '"' where b = 'b''77';
delete from shop.tags where b = 'b''78';
update shop.tags set note = 'x' where b = 'b''79';
update shop.docs set body = 'changed' where id = md5('1')::uuid;
delete from shop.docs where id = md5('2')::uuid;
insert into shop.docs values (md5('new')::uuid, null);

alter table shop.log replica identity full;
delete from shop.log where ctid in (select ctid from shop.log where line = 'line 1' and n = 0 limit 3);
insert into shop.log select 'line 2', 1, 0 from generate_series(1, 4);
insert into shop.log values ('only here', null, 'NaN');
update shop.log set real = 0 where ctid = (select min(ctid) from shop.log where real = 0 and real::text = '-0');
alter table shop.log replica identity default;
insert into shop.nothing default values;

-- From one partition into another.
update shop.events set day = day + 190 where id in (150, 151);
delete from shop.events where id = 200;
insert into shop.events values (9000, '2030-01-01', null);
insert into shop.moods values ('bad', 999);
update shop.child set t = 'changed' where id = 3;
delete from only shop.parent where id = 4;

-- One of the views is refreshed here, one is not.
refresh materialized view shop.totals;

select nextval('shop.audit_id_seq') from generate_series(1, 3);
select lo_unlink(700001), lo_put(700002, 1, 'XYZ'), lo_from_bytea(700009, convert_to(repeat('new', 100000), 'UTF8'));
comment on large object 700003 is 'another comment';
grant select on large object 700004 to public;
