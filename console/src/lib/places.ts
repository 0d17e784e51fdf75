// The navigation.
import type { Role } from './types';

type Place = { path: string; title: string; words?: string; role?: Role; section: string };

/** The views of the navigation, in its order. */
export const PLACES: readonly Place[] = [
  { path: '', title: 'Overview', section: 'Now', words: 'home start needs a person compliance' },
  { path: '/runs', title: 'Runs', section: 'Now', words: 'execution rollout pause resume' },
  { path: '/changes', title: 'Changes', section: 'Now', words: 'approval approve itsm request' },
  { path: '/incidents', title: 'Incidents', section: 'Now', words: 'itsm problem alert' },
  { path: '/hosts', title: 'Fleet', section: 'Fleet', words: 'hosts servers machines map table' },
  { path: '/cves', title: 'CVEs', section: 'Fleet', words: 'advisories vulnerabilities kev epss exploited' },
  { path: '/exceptions', title: 'Exceptions', section: 'Fleet', words: 'accepted deviation waiver' },
  { path: '/feeds', title: 'Feeds and coverage', section: 'Fleet', words: 'import advisories known releases' },
  { path: '/policies', title: 'Policies', section: 'Plan', words: 'baseline schedule window' },
  { path: '/calendar', title: 'Calendar', section: 'Plan', words: 'freeze window upcoming schedule' },
  { path: '/releases', title: 'Releases', section: 'Plan', words: 'versions customers tiers rollout health' },
  { path: '/predictions', title: 'Predictions', section: 'Plan', words: 'calibration simulator forecast' },
  { path: '/access', title: 'Access', section: 'System', words: 'people tokens proposals confirm approvers' },
  { path: '/audit', title: 'Audit', section: 'System', words: 'log who what history', role: 'auditor' },
];
