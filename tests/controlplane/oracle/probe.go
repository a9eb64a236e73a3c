package main

import (
	"errors"
	"sort"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultpreemption"
)

// Status is what a plugin says; a nil one is yes.
type Status struct {
	Code    string   `json:"code"`
	Plugin  string   `json:"plugin,omitempty"`
	Reasons []string `json:"reasons,omitempty"`
}

// PreFilter is what a plugin says about the pod before any node: a status, or the only nodes it may go to.
type PreFilter struct {
	Status *Status  `json:"status,omitempty"`
	Nodes  []string `json:"nodes,omitempty"`
}

// Probe is all that is said about one pod on the cluster as it stands.
type Probe struct {
	PreEnqueue *Status                       `json:"preEnqueue,omitempty"`
	PreFilters map[string]PreFilter          `json:"preFilters,omitempty"`
	Filters    map[string]map[string]*Status `json:"filters,omitempty"`
	Skipped    []string                      `json:"skipped,omitempty"`
	Nodes      map[string]*Status            `json:"nodes,omitempty"`
	Raw        map[string]map[string]int64   `json:"raw,omitempty"`
	Normalised map[string]map[string]int64   `json:"normalised,omitempty"`
	Total      map[string]int64              `json:"total,omitempty"`
	ScoreError string                        `json:"scoreError,omitempty"`
	Victims    map[string]Victims            `json:"victims,omitempty"`
	Decision
}

// Decision is the outcome of a whole cycle.
type Decision struct {
	Node       string `json:"node,omitempty"`
	Feasible   int    `json:"feasible,omitempty"`
	Evaluated  int    `json:"evaluated,omitempty"`
	Message    string `json:"message,omitempty"`
	Unfit      bool   `json:"unfit,omitempty"`
	Nominated  string `json:"nominated,omitempty"`
	PostFilter string `json:"postFilter,omitempty"`
	Nanos      int64  `json:"nanos,omitempty"`
}

// Victims are the pods that would have to leave a node, most important first.
type Victims struct {
	Pods       []string `json:"pods"`
	Violations int      `json:"violations"`
}

func told(s *fwk.Status) *Status {
	if s.IsSuccess() {
		return nil
	}
	reasons := append([]string{}, s.Reasons()...)
	sort.Strings(reasons)
	return &Status{Code: s.Code().String(), Plugin: s.Plugin(), Reasons: reasons}
}

func (w *World) probe(pod *v1.Pod) (Probe, error) {
	probe := Probe{}
	f, ok := w.sched.Profiles[pod.Spec.SchedulerName]
	if !ok {
		return probe, errors.New("no profile is called " + pod.Spec.SchedulerName)
	}
	for _, each := range f.PreEnqueuePlugins() {
		if status := each.PreEnqueue(w.ctx, pod); !status.IsSuccess() {
			probe.PreEnqueue = told(status.WithPlugin(each.Name()))
			break
		}
	}
	infos, err := f.SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		return probe, err
	}
	if !w.brief {
		if err := w.askFilters(&probe, f, pod, infos); err != nil {
			return probe, err
		}
		if err := w.askScorers(&probe, f, pod, infos); err != nil {
			return probe, err
		}
	}
	probe.Decision, err = w.decide(f, pod, &probe)
	return probe, err
}

// askFilters asks every filter about every node, each alone: in a real cycle the first no ends the matter.
func (w *World) askFilters(probe *Probe, f framework.Framework, pod *v1.Pod, infos []fwk.NodeInfo) error {
	probe.PreFilters = map[string]PreFilter{}
	probe.Filters = map[string]map[string]*Status{}
	skipped := map[string]bool{}
	state := framework.NewCycleState()
	for _, each := range f.ListPlugins().PreFilter.Enabled {
		plugin, err := w.plugin(f, each.Name)
		if err != nil {
			return err
		}
		result, status := plugin.(fwk.PreFilterPlugin).PreFilter(w.ctx, state, pod, infos)
		if status.IsSkip() {
			skipped[each.Name] = true
			probe.Skipped = append(probe.Skipped, each.Name)
			continue
		}
		if told(status) != nil || !result.AllNodes() {
			answer := PreFilter{Status: told(status)}
			if !result.AllNodes() {
				answer.Nodes = result.NodeNames.UnsortedList()
				sort.Strings(answer.Nodes)
			}
			probe.PreFilters[each.Name] = answer
			if told(status) != nil {
				skipped[each.Name] = true
			}
		}
	}
	for _, each := range f.ListPlugins().Filter.Enabled {
		if skipped[each.Name] {
			continue
		}
		plugin, err := w.plugin(f, each.Name)
		if err != nil {
			return err
		}
		for _, info := range infos {
			if answer := told(plugin.(fwk.FilterPlugin).Filter(w.ctx, state, pod, info)); answer != nil {
				if probe.Filters[each.Name] == nil {
					probe.Filters[each.Name] = map[string]*Status{}
				}
				probe.Filters[each.Name][info.Node().Name] = answer
			}
		}
	}
	return nil
}

// askScorers asks every scorer, before and after it normalises, about the nodes that are feasible without sampling.
func (w *World) askScorers(probe *Probe, f framework.Framework, pod *v1.Pod, infos []fwk.NodeInfo) error {
	state := framework.NewCycleState()
	restriction, status, _ := f.RunPreFilterPlugins(w.ctx, state, pod)
	if !status.IsSuccess() {
		return nil
	}
	probe.Nodes = map[string]*Status{}
	var feasible []fwk.NodeInfo
	for _, info := range infos {
		name := info.Node().Name
		if !restriction.AllNodes() && !restriction.NodeNames.Has(name) {
			continue
		}
		if answer := told(f.RunFilterPluginsWithNominatedPods(w.ctx, state, pod, info)); answer != nil {
			probe.Nodes[name] = answer
		} else {
			feasible = append(feasible, info)
		}
	}
	if len(feasible) == 0 {
		return nil
	}
	if status := f.RunPreScorePlugins(w.ctx, state, pod, feasible); !status.IsSuccess() {
		probe.ScoreError = status.Message()
		return nil
	}
	scores, status := f.RunScorePlugins(w.ctx, state, pod, feasible)
	if !status.IsSuccess() {
		probe.ScoreError = status.Message()
		return nil
	}
	weights := map[string]int64{}
	for _, each := range f.ListPlugins().Score.Enabled {
		weights[each.Name] = int64(each.Weight)
	}
	probe.Raw, probe.Normalised, probe.Total = map[string]map[string]int64{}, map[string]map[string]int64{}, map[string]int64{}
	for _, node := range scores {
		probe.Total[node.Name] = node.TotalScore
		for _, score := range node.Scores {
			if probe.Normalised[score.Name] == nil {
				probe.Normalised[score.Name] = map[string]int64{}
			}
			probe.Normalised[score.Name][node.Name] = score.Score / weights[score.Name]
		}
	}
	for name := range probe.Normalised {
		plugin, err := w.plugin(f, name)
		if err != nil {
			return err
		}
		probe.Raw[name] = map[string]int64{}
		for _, info := range feasible {
			raw, status := plugin.(fwk.ScorePlugin).Score(w.ctx, state, pod, info)
			if !status.IsSuccess() {
				return status.AsError()
			}
			probe.Raw[name][info.Node().Name] = raw
		}
	}
	return nil
}

// decide runs a whole cycle up to the choice, and what follows a failure; probe, if any, learns the victims.
func (w *World) decide(f framework.Framework, pod *v1.Pod, probe *Probe) (Decision, error) {
	// Preemption looks the pod up before it acts.
	if err := w.factory.Core().V1().Pods().Informer().GetIndexer().Update(pod); err != nil {
		return Decision{}, err
	}
	state := framework.NewCycleState()
	state.Write(framework.PodsToActivateKey, framework.NewPodsToActivate())
	start := now()
	result, err := w.choose(f, state, pod)
	decision := Decision{Nanos: now() - start}
	if err == nil {
		decision.Node, decision.Feasible, decision.Evaluated = result.SuggestedHost, result.FeasibleNodes, result.EvaluatedNodes
		return decision, nil
	}
	decision.Message = err.Error()
	var unfit *framework.FitError
	if !errors.As(err, &unfit) {
		decision.Unfit = errors.Is(err, scheduler.ErrNoNodesAvailable)
		return decision, nil
	}
	decision.Unfit = true
	if !f.HasPostFilterPlugins() {
		return decision, nil
	}
	if probe != nil && !w.brief {
		if probe.Victims, err = w.victims(f, pod, state, unfit); err != nil {
			return decision, err
		}
	}
	nomination, status := f.RunPostFilterPlugins(w.ctx, state, pod, unfit.Diagnosis.NodeToStatus)
	decision.PostFilter = status.Message()
	if nomination != nil && nomination.NominatingInfo != nil {
		decision.Nominated = nomination.NominatedNodeName
	}
	return decision, nil
}

// victims asks, for every node where preemption may help, who would have to go.
func (w *World) victims(f framework.Framework, pod *v1.Pod, state fwk.CycleState, unfit *framework.FitError) (map[string]Victims, error) {
	enabled := false
	for _, each := range f.ListPlugins().PostFilter.Enabled {
		enabled = enabled || each.Name == defaultpreemption.Name
	}
	if !enabled {
		return nil, nil
	}
	plugin, err := w.plugin(f, defaultpreemption.Name)
	if err != nil {
		return nil, err
	}
	preemption := plugin.(*defaultpreemption.DefaultPreemption)
	if eligible, _ := preemption.PodEligibleToPreemptOthers(w.ctx, pod, unfit.Diagnosis.NodeToStatus.Get(pod.Status.NominatedNodeName)); !eligible {
		return nil, nil
	}
	budgets, err := w.factory.Policy().V1().PodDisruptionBudgets().Lister().List(labels.Everything())
	if err != nil {
		return nil, err
	}
	sort.Slice(budgets, func(i, j int) bool { return key(budgets[i]) < key(budgets[j]) })
	potential, err := unfit.Diagnosis.NodeToStatus.NodesForStatusCode(f.SnapshotSharedLister().NodeInfos(), fwk.Unschedulable)
	if err != nil {
		return nil, err
	}
	found := map[string]Victims{}
	for _, info := range potential {
		pods, violations, status := preemption.SelectVictimsOnNode(w.ctx, state.Clone(), pod, info.Snapshot(), budgets)
		if !status.IsSuccess() {
			continue
		}
		victims := Victims{Violations: violations, Pods: []string{}}
		for _, each := range pods {
			victims.Pods = append(victims.Pods, each.Namespace+"/"+each.Name)
		}
		found[info.Node().Name] = victims
	}
	return found, nil
}

func key(budget *policyv1.PodDisruptionBudget) string { return budget.Namespace + "/" + budget.Name }
