import { expect, test } from 'vitest';
import { to } from '../../src/lib/address';
import { matching } from '../../src/lib/matching';
import { PLACES } from '../../src/lib/places';
import { PATHS, viewOf } from '../../src/lib/routes';
import type { Action } from '../../src/lib/actions.svelte';

test('the navigation, and with it the palette, has every view', () => {
  // The page for developers is an action of the console.
  expect(PLACES.map((place) => place.path).sort()).toEqual(PATHS.filter((path) => path !== '/design').sort());
});

test('addresses lead to their views', () => {
  expect(viewOf('/').parameters).toEqual({});
  expect(viewOf('/console/hosts/web%2F1').parameters).toEqual({ id: 'web/1' });
  expect(viewOf('/dashboard/runs/018f').parameters).toEqual({ id: '018f' });
  expect(viewOf('/dashboard/runs/018f').load).toBe(viewOf('/console/runs/x').load);
  for (const nonsense of ['/console/nonsense', '/console/hosts/%', '/other', '/console/hosts/a/b']) expect(viewOf(nonsense).load).toBe(viewOf('/console/none').load);
});

test('parameters are encoded and empty ones left out', () => {
  expect(to('/hosts', { env: 'a&b', os: undefined, status: '' })).toBe('/console/hosts?env=a%26b');
});

test('the palette finds by words, titles first', () => {
  const action = (title: string, words = ''): Action => ({ id: title, title, words, group: 'Go to', run: () => {} });
  const all = [action('Open runs', 'audit'), action('Audit', 'log'), action('Fleet')];
  expect(matching(all, 'aud').map((one) => one.title)).toEqual(['Audit', 'Open runs']);
  expect(matching(all, 'go LOG').map((one) => one.title)).toEqual(['Audit']);
  expect(matching(all, 'nothing')).toEqual([]);
  expect(matching(all, '')).toHaveLength(3);
});
