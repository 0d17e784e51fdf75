// Names for the parts of the contracts that the views use.
import type { components as Patch } from '../api/patch-manager';
import type { components as Cmdb } from '../api/cmdb';
import type { components as Itsm } from '../api/itsm';

type P = Patch['schemas'];
type C = Cmdb['schemas'];
type I = Itsm['schemas'];

export type Problem = P['Problem'];
export type Me = P['Me'];
export type Session = P['Session'];
export type Role = P['Role'];
export type SignInProvider = P['SignInProvider'];
export type Proposal = P['Proposal'];
export type AuditRecord = P['AuditRecord'];

export type Counts = P['ComplianceCounts'];
export type Compliance = P['ComplianceSummary'];
export type ComplianceDay = P['ComplianceDay'];
export type Timeliness = P['TimelinessReport'];
export type HostEntry = P['HostCompliance'];
export type CiCompliance = P['CiCompliance'];
export type Coverage = P['ReleaseCoverage'];
export type Exception = P['Exception'];
export type Severity = P['AdvisorySeverity'];

export type Run = P['RunSummary'];
export type RunDetail = P['RunDetail'];
export type RunState = P['RunState'];
export type RunHost = P['HostStatus'];
export type RunHostState = P['HostState'];
export type RunWave = P['WaveStatus'];
export type RunDiff = P['RunDiff'];
export type RunReport = P['RunReport'];
export type LogLine = P['LogLine'];
export type CloudEvent = P['CloudEvent'];
export type Plan = P['Plan'];
export type Forecast = P['Forecast'];
export type Strategy = P['Strategy'];
export type StrategyForecast = P['StrategyForecast'];
export type StartRun = P['StartRun'];

export type Advisory = P['AdvisorySummary'];
export type AdvisoryDetail = P['AdvisoryDetail'];
export type Policy = P['StoredPolicy'];
export type PolicyPreview = P['PolicyPreview'];
export type Calendar = P['Calendar'];
export type FreezePrice = P['FreezePrice'];
export type ScoredPrediction = P['ScoredPrediction'];

export type Ci = C['Ci'];
export type Impact = C['Impact'];
export type HistoryEntry = C['HistoryEntry'];

export type Change = I['Change'];
export type ChangeState = I['ChangeState'];
export type Conflicts = I['Conflicts'];
export type Incident = I['Incident'];

export type Page<T> = { items: T[]; next_page_token?: string | null };

export type PolicyVersion = P['PolicyVersion'];
export type ExposureDay = P['ExposureDay'];

export type RunTrace = P['RunTrace'];
export type TraceEvent = P['TraceEvent'];
export type TraceFigures = P['TraceFigures'];
export type TraceHost = P['TraceHost'];
export type TraceEdge = P['TraceEdge'];

export type SearchResults = P['SearchResults'];
export type SearchHit = P['SearchHit'];
export type SearchKind = P['SearchKind'];

export type Release = P['Release'];
export type ReleaseStatus = P['ReleaseStatus'];
export type ReleaseTimeline = P['ReleaseTimeline'];
export type TimelineRow = P['TimelineRow'];
export type CustomerStatus = P['CustomerStatus'];
export type StoredCustomer = P['StoredCustomer'];
export type WatchState = P['WatchState'];
export type Tier = P['Tier'];
