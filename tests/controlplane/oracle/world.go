package main

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkplugins "k8s.io/kubernetes/pkg/scheduler/framework/plugins"
)

// World is a scheduler of the pinned release with a cluster in its cache, and no API server behind it.
type World struct {
	sched    *scheduler.Scheduler
	config   *config.KubeSchedulerConfiguration
	factory  informers.SharedInformerFactory
	defaults bool
	brief    bool
	ctx      context.Context
	cancel   context.CancelFunc
	single   map[string]map[string]fwk.Plugin
	nodes    map[string]*v1.Node
	pods     map[string]*v1.Pod
}

type silent struct{}

func (silent) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}

var decoder = clientscheme.Codecs.UniversalDeserializer()

// decode reads an object as it comes from an API server, with quantities in their canonical form. That matters: the
// release adds overhead to a pod-level request in place, so one that is not (1.5Gi) would grow at each reading.
func (w *World) decode(raw json.RawMessage) (runtime.Object, error) {
	object, _, err := decoder.Decode(raw, nil, nil)
	if err != nil {
		return nil, err
	}
	canonical, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	if object, _, err = decoder.Decode(canonical, nil, nil); err != nil {
		return nil, err
	}
	if w.defaults {
		legacyscheme.Scheme.Default(object)
	}
	return object, nil
}

func (w *World) pod(raw json.RawMessage) (*v1.Pod, error) {
	object, err := w.decode(raw)
	if err != nil {
		return nil, err
	}
	pod, ok := object.(*v1.Pod)
	if !ok {
		return nil, fmt.Errorf("is no pod but %T", object)
	}
	if pod.UID == "" {
		pod.UID = uidOf(pod)
	}
	if pod.Spec.SchedulerName == "" {
		pod.Spec.SchedulerName = v1.DefaultSchedulerName
	}
	return pod, nil
}

func newWorld(question *Question) (*World, error) {
	cfg, err := loadConfig(question.Config)
	if err != nil {
		return nil, err
	}
	w := &World{
		config: cfg, defaults: question.Default, brief: question.Brief,
		single: map[string]map[string]fwk.Plugin{}, nodes: map[string]*v1.Node{}, pods: map[string]*v1.Pod{},
	}
	w.ctx, w.cancel = context.WithCancel(klog.NewContext(context.Background(), klog.Logger{}))
	var objects []runtime.Object
	for i, raw := range question.Objects {
		object, err := w.decode(raw)
		if err != nil {
			return nil, fmt.Errorf("object %d: %w", i, err)
		}
		if pod, ok := object.(*v1.Pod); ok && pod.UID == "" {
			pod.UID = uidOf(pod)
		}
		objects = append(objects, object)
	}
	client := fake.NewSimpleClientset(objects...)
	w.factory = informers.NewSharedInformerFactory(client, 0)
	parallelism := question.Parallelism
	if parallelism == 0 {
		parallelism = 1
	}
	w.sched, err = scheduler.New(w.ctx, client, w.factory, nil,
		recorder,
		scheduler.WithProfiles(cfg.Profiles...),
		scheduler.WithPercentageOfNodesToScore(cfg.PercentageOfNodesToScore),
		scheduler.WithExtenders(cfg.Extenders...),
		scheduler.WithParallelism(parallelism),
	)
	if err != nil {
		return nil, err
	}
	if err := w.populate(objects); err != nil {
		return nil, err
	}
	return w, w.refresh()
}

func (w *World) close() { w.cancel() }

// populate fills cache and listers in the order of the objects; nodes get their place in the node order by it.
func (w *World) populate(objects []runtime.Object) error {
	core, volumes := w.factory.Core().V1(), false
	for _, object := range objects {
		var err error
		switch o := object.(type) {
		case *v1.Node:
			w.addNode(o)
			err = core.Nodes().Informer().GetIndexer().Add(o)
		case *v1.Pod:
			err = w.addPod(o)
		case *v1.Namespace:
			err = core.Namespaces().Informer().GetIndexer().Add(o)
		case *v1.Service:
			err = core.Services().Informer().GetIndexer().Add(o)
		case *v1.ReplicationController:
			err = core.ReplicationControllers().Informer().GetIndexer().Add(o)
		case *appsv1.ReplicaSet:
			err = w.factory.Apps().V1().ReplicaSets().Informer().GetIndexer().Add(o)
		case *appsv1.StatefulSet:
			err = w.factory.Apps().V1().StatefulSets().Informer().GetIndexer().Add(o)
		case *policyv1.PodDisruptionBudget:
			err = w.factory.Policy().V1().PodDisruptionBudgets().Informer().GetIndexer().Add(o)
		case *v1.PersistentVolume, *v1.PersistentVolumeClaim, *storagev1.StorageClass, *storagev1.CSINode,
			*storagev1.CSIDriver, *storagev1.CSIStorageCapacity, *storagev1.VolumeAttachment:
			volumes = true
		default:
			err = fmt.Errorf("a cluster can not hold a %T", object)
		}
		if err != nil {
			return err
		}
	}
	if volumes {
		return w.watchVolumes()
	}
	return nil
}

// watchVolumes runs the informers whose events, not whose listers, the volume plugins live on.
func (w *World) watchVolumes() error {
	core, storage := w.factory.Core().V1(), w.factory.Storage().V1()
	for _, informer := range []cache.SharedIndexInformer{
		core.PersistentVolumes().Informer(), core.PersistentVolumeClaims().Informer(),
		storage.StorageClasses().Informer(), storage.CSINodes().Informer(), storage.CSIDrivers().Informer(),
		storage.CSIStorageCapacities().Informer(), storage.VolumeAttachments().Informer(),
	} {
		go informer.Run(w.ctx.Done())
		if !cache.WaitForCacheSync(w.ctx.Done(), informer.HasSynced) {
			return fmt.Errorf("the volumes did not arrive")
		}
	}
	return nil
}

func (w *World) addNode(node *v1.Node) {
	w.sched.Cache.AddNode(klog.FromContext(w.ctx), node)
	w.nodes[node.Name] = node
}

func (w *World) addPod(pod *v1.Pod) error {
	if err := w.factory.Core().V1().Pods().Informer().GetIndexer().Add(pod); err != nil {
		return err
	}
	if pod.Spec.NodeName == "" || pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed {
		return nil
	}
	w.pods[keyOf(pod)] = pod
	return w.sched.Cache.AddPod(klog.FromContext(w.ctx), pod)
}

func (w *World) snapshot(f framework.Framework) *internalcache.Snapshot {
	return f.SnapshotSharedLister().(*internalcache.Snapshot)
}

func (w *World) anyFramework() framework.Framework {
	for _, f := range w.sched.Profiles {
		return f
	}
	return nil
}

func (w *World) refresh() error {
	return w.sched.Cache.UpdateSnapshot(klog.FromContext(w.ctx), w.snapshot(w.anyFramework()))
}

func (w *World) order() ([]string, error) {
	infos, err := w.anyFramework().SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(infos))
	for _, info := range infos {
		names = append(names, info.Node().Name)
	}
	return names, nil
}

// plugin returns an instance of its own of a plugin, with the profile's arguments: the framework hands out none.
func (w *World) plugin(f framework.Framework, name string) (fwk.Plugin, error) {
	mine := w.single[f.ProfileName()]
	if mine == nil {
		mine = map[string]fwk.Plugin{}
		w.single[f.ProfileName()] = mine
	}
	if found, ok := mine[name]; ok {
		return found, nil
	}
	var args runtime.Object
	for _, profile := range w.config.Profiles {
		if profile.SchedulerName != f.ProfileName() {
			continue
		}
		for _, each := range profile.PluginConfig {
			if each.Name == name {
				args = each.Args
			}
		}
	}
	factory, ok := frameworkplugins.NewInTreeRegistry()[name]
	if !ok {
		return nil, fmt.Errorf("no plugin is called %q", name)
	}
	plugin, err := factory(w.ctx, args, f)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", name, err)
	}
	mine[name] = plugin
	return plugin, nil
}
